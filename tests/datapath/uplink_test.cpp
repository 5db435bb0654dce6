// What the world sends to Services, and what pods send to the world under the node's address.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>

#include "maps/fd.hpp"
#include "maps/ipcache.h"
#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;
using sluice::Address;
using sluice::Fd;

namespace {

constexpr std::uint32_t kNode = 9;

const char* router(const Family& family) { return family.v4 ? "203.0.113.1" : "2001:db8:113::1"; }
const char* far(const Family& family) { return family.v4 ? "10.9.0.7" : "fd09::7"; }

/// A node with the pods web and db and the uplink "up".
struct Outside {
  explicit Outside(const Settings& settings = {}, const UplinkOptions& options = {}) : node(settings) {
    node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6").pod("up", "10.0.0.99", "fd00::99");
    node.forget_pod("up").uplink("up", options);
  }

  /// Node 9 with pods in 10.9.0.0/16 and fd09::/16 behind a tunnel.
  Outside& other_node() {
    node.pod("device", "10.0.0.100", "fd00::100").tunnel_device("device").node(kNode, "192.0.2.9");
    node.known_address("10.9.0.0/16", IDENTITY_UNKNOWN, 0, kNode);
    node.known_address("fd09::/16", IDENTITY_UNKNOWN, 0, kNode);
    return *this;
  }

  Datapath node;
};

/// An outside client's packet to a node port, and what it is on the other side.
struct Connection {
  Packet asks, asks_there, answers, answers_here;

  Connection(const Family& family, std::uint8_t proto, const char* backend = nullptr, int port = 50000)
      : Connection(family.at(family.world, port), family.at(family.host, 30080),
                   family.at(backend != nullptr ? backend : family.web, 8080), proto) {}

 private:
  Connection(const std::string& client, const std::string& service, const std::string& backend, std::uint8_t proto)
      : asks(proto == IPPROTO_TCP ? tcp(client, service, "S") : udp(client, service)),
        asks_there(asks.between(client, backend)),
        answers(proto == IPPROTO_TCP ? tcp(backend, client, "SA") : udp(backend, client)),
        answers_here(answers.between(service, client)) {}
};

void node_port(Datapath& node, const Family& family, std::uint8_t proto, const std::vector<SocketAddress>& backends,
               ServiceOptions options = {}) {
  options.flags |= SERVICE_OUTSIDE;
  node.service(family.at(family.host, 30080), proto, backends, options);
}

/// The source port that the flow of this packet leaves with.
int port_given(const Datapath& node, const Packet& packet) {
  const auto flow = node.flow(packet);
  return flow ? flow->entry.to.sport.to_host() : 0;
}

/// A socket of the node, bound and, for TCP, listening.
Fd node_socket(int family, int type, std::uint16_t port) {
  Fd socket(::socket(family, type, 0));
  sockaddr_storage name{};
  if (family == AF_INET) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = be16::from_host(port).wire;
    std::memcpy(&name, &v4, sizeof(v4));
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = be16::from_host(port).wire;
    std::memcpy(&name, &v6, sizeof(v6));
  }
  if (bind(socket.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)) != 0 ||
      (type == SOCK_STREAM && listen(socket.get(), 1) != 0))
    throw std::runtime_error("no socket of the node");
  return socket;
}

}  // namespace

TEST_CASE("an outside client reaches a pod by a node port under its own address, and is answered from that port") {
  for (const Family& family : kFamilies) {
    for (const std::uint8_t proto : {IPPROTO_TCP, IPPROTO_UDP}) {
      for (const std::uint32_t policy_local : {0, SERVICE_KEEP_CLIENT}) {
        CAPTURE(family.name);
        CAPTURE(proto);
        Outside outside;
        Datapath& node = outside.node;
        node_port(node, family, proto, {family.at(family.web, 8080)}, {.flags = policy_local});
        const Connection way(family, proto);
        for (int round = 0; round < 3; round++) {  // decided, then known, then decided anew
          CHECK(node.from_uplink("up", way.asks, way.asks_there) == delivered_to("web"));
          CHECK(node.from_pod("web", way.answers, way.answers_here) == sent_out_of("up"));
          if (round == 1) node.new_epoch();
        }
        CHECK(node.flows().size() == 2);
        CHECK(node.counter(COUNTER_FLOW_CREATED) == 1);
        CHECK(node.flow(way.asks)->half().packets == 3);
        CHECK(node.flow(way.answers)->half().packets == 3);
      }
    }
  }
}

TEST_CASE("what an uplink brings and is none of ours goes on untouched, however it is") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Outside outside({.overlay = true, .masquerade = true});
    Datapath& node = outside.node;
    node.service(family.at(family.host, 30080), IPPROTO_TCP, {family.at(family.web, 80)}, {.flags = SERVICE_OUTSIDE});
    node.service(family.at("10.96.0.1", 80), IPPROTO_TCP, {family.at(family.web, 80)});
    const std::string client = family.at(family.world, 50000), host = family.at(family.host, 22);
    for (const Packet& packet :
         {tcp(client, host, "S"), udp(client, family.at(family.host, 30080)), udp(client, family.at(family.host, 8472)),
          ping(family.world, family.host), pong(family.world, family.host),
          icmp_about(router(family), family.host, family.v4 ? 3 : 1, 1, 0, udp(host, client)),
          tcp(client, host, "S").cut_to(family.v4 ? 40 : 60), other(family.world, family.host, 50),
          tcp(client, family.at(family.host, 30080), "S").vlan(7), tcp(client, host, "S").ttl(1),
          udp(client, host).payload(64).fragment(1, 72), tcp(client, family.at(family.web, 80), "S")}) {
      const Outcome outcome = node.from_uplink("up", packet);
      CHECK(outcome.verdict == to_stack());
      CHECK(outcome.got == outcome.sent);
    }
    // A frame that is for another machine.
    const Packet asks = tcp(client, family.at(family.host, 30080), "S");
    CHECK(node.from_uplink("up", asks.to_mac("02:00:00:00:00:77")) == to_stack());
    // Whom only the cluster may ask.
    CHECK(node.from_uplink("up", tcp(client, family.at(family.v4 ? "10.96.0.1" : "fd96::1", 80), "S")) == to_stack());
    CHECK(node.flows().empty());
  }
}

TEST_CASE("nobody outside speaks for a pod, into a known connection neither") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Outside outside({.overlay = true});
    Datapath& node = outside.other_node().node;
    node_port(node, family, IPPROTO_UDP, {family.at(family.web, 8080)});
    for (const char* pod : {family.db, far(family)})
      CHECK(node.from_uplink("up", udp(family.at(pod, 1), family.at(family.host, 30080))) == to_stack());
    const Packet talk = udp(family.at(family.db, 1), family.at(family.web, 2));
    REQUIRE(node.from_pod("db", talk) == delivered_to("web"));
    CHECK(node.from_uplink("up", talk) == to_stack());
    CHECK(node.flow(talk)->half().packets == 1);
  }
}

TEST_CASE("ingress policy judges an outside client by its own address") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Outside outside;
    Datapath& node = outside.node;
    node_port(node, family, IPPROTO_TCP, {family.at(family.web, 8080)});
    const peer_verdict allow{.admin = {}, .network = {7, 1, POLICY_ALLOW, 0}, .baseline = {}};
    node.policy(5, POLICY_ISOLATES, {{.proto = IPPROTO_TCP, .port = 8080, .length = 16, .peers = {{300, allow}}}});
    node.pod_policy("web", 256, 0, 5);
    const Connection way(family, IPPROTO_TCP);
    CHECK(node.from_uplink("up", way.asks) == dropped(DROP_POLICY_INGRESS));
    node.known_address(family.world, IDENTITY_WORLD, 300);
    CHECK(node.from_uplink("up", way.asks, way.asks_there) == delivered_to("web"));
    // And a running connection, from the next packet on.
    node.pod_policy("web", 256, 0, 99);
    CHECK(node.from_uplink("up", way.asks.flags("A")) == dropped(DROP_POLICY_INGRESS));
  }
}

TEST_CASE("an outside client is refused where nobody serves, and dropped where policy Local has nobody here") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Outside outside;
    Datapath& node = outside.node;
    for (const std::uint8_t proto : {IPPROTO_TCP, IPPROTO_UDP}) node_port(node, family, proto, {});
    const Connection by_tcp(family, IPPROTO_TCP), by_udp(family, IPPROTO_UDP);
    const Outcome reset = node.from_uplink("up", by_tcp.asks);
    CHECK(reset == told_sender(DROP_NO_BACKEND));
    CHECK(decode(reset.got).text.find("[RA]") != std::string::npos);
    CHECK(Bytes(reset.got.begin(), reset.got.begin() + 6) == Bytes(reset.sent.begin() + 6, reset.sent.begin() + 12));
    CHECK(Bytes(reset.got.begin() + 6, reset.got.begin() + 12) == Bytes(reset.sent.begin(), reset.sent.begin() + 6));
    CHECK(node.from_uplink("up", by_udp.asks) == told_sender(DROP_NO_BACKEND));
    node_port(node, family, IPPROTO_TCP, {}, {.flags = SERVICE_DROP_OUTSIDE});
    CHECK(node.from_uplink("up", by_tcp.asks) == dropped(DROP_NO_LOCAL_BACKEND));
    CHECK(node.flows().empty());
  }
}

TEST_CASE("a packet that is too big for the pod is answered with what fits, by the way it came") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Outside outside;
    Datapath& node = outside.node;
    node.pod("web", "10.0.0.5", "fd00::5", {.mtu = 1400});
    node_port(node, family, IPPROTO_UDP, {family.at(family.web, 8080)});
    const Connection way(family, IPPROTO_UDP);
    CHECK(node.from_uplink("up", way.asks.payload(1400).dont_fragment()) == told_sender(DROP_TOO_BIG));
  }
}

TEST_CASE("what is too big for the uplink is told to the pod, whether or not it may be fragmented") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Outside outside({.masquerade = true}, {.mtu = 1400});
    const Packet asks = udp(family.at(family.web, 20000), family.at(family.world, 53)).payload(1400);
    CHECK(outside.node.from_pod("web", asks) == told_sender(DROP_TOO_BIG));
    CHECK(outside.node.from_pod("web", asks.dont_fragment()) == told_sender(DROP_TOO_BIG));
  }
}

TEST_CASE("an endpoint on another node gets an outside client under the node's address, through the tunnel") {
  for (const Family& family : kFamilies) {
    for (const std::uint8_t proto : {IPPROTO_TCP, IPPROTO_UDP}) {
      CAPTURE(family.name);
      CAPTURE(proto);
      Outside outside({.overlay = true});
      Datapath& node = outside.other_node().node;
      node_port(node, family, proto, {family.at(far(family), 8080)});
      const Connection way(family, proto, far(family), 20000);
      const Packet there = way.asks_there.between(family.at(family.host, 20000), family.at(far(family), 8080));
      for (int round = 0; round < 2; round++) {
        CHECK(node.from_uplink("up", way.asks, there) == tunnelled_to(kNode));
        node.new_epoch();
      }
      const auto answers = node.flow(there);
      REQUIRE(answers);
      CHECK(answers->back().from_node == kNode);
      CHECK(answers->back().origin == node.ifindex("device"));
      CHECK(answers->back().delivery == FLOW_TO_UPLINK);
      CHECK(answers->back().egress_ifindex == node.ifindex("up"));
      // Nothing but that node's tunnel answers.
      CHECK(node.from_overlay("device",
                              way.answers.between(family.at(far(family), 8080), family.at(family.host, 20000))) ==
            dropped(DROP_FOREIGN_TUNNEL));
    }
  }
}

TEST_CASE("an endpoint beyond the uplink gets an outside client under the node's address, and answers by it") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Outside outside;
    Datapath& node = outside.node;
    node_port(node, family, IPPROTO_UDP, {family.at(far(family), 8080)});
    const Connection way(family, IPPROTO_UDP, far(family), 20000);
    const std::string host = family.at(family.host, 20000), backend = family.at(far(family), 8080);
    for (int round = 0; round < 3; round++) {
      CHECK(node.from_uplink("up", way.asks, way.asks.between(host, backend)) == sent_out_of("up"));
      CHECK(node.from_uplink("up", way.answers.between(backend, host), way.answers_here) == sent_out_of("up"));
      if (round == 1) node.new_epoch();
    }
    node.known_address(family.host, IDENTITY_HOST);
    node_port(node, family, IPPROTO_TCP, {family.at(family.host, 8080)});
    CHECK(node.from_uplink("up", Connection(family, IPPROTO_TCP).asks) == dropped(DROP_NODE_BACKEND));
  }
}

TEST_CASE("what a pod sends to the world leaves under the node's address, and the answers come back to it") {
  for (const Family& family : kFamilies) {
    Outside outside({.masquerade = true});
    Datapath& node = outside.node;
    const std::string pod = family.at(family.web, 20000), host = family.at(family.host, 20000),
                      world = family.at(family.world, 443);
    const struct {
      const char* name;
      Packet asks, answers;
    } rows[] = {{"TCP", tcp(pod, world, "S"), tcp(world, host, "SA")},
                {"UDP", udp(pod, world), udp(world, host)},
                {"SCTP", sctp(pod, world), sctp(world, host)}};
    for (const auto& row : rows) {
      CAPTURE(family.name);
      CAPTURE(row.name);
      for (int round = 0; round < 3; round++) {
        CHECK(node.from_pod("web", row.asks, row.asks.between(host, world)) == sent_out_of("up"));
        CHECK(node.from_uplink("up", row.answers, row.answers.between(world, pod)) == delivered_to("web"));
        if (round == 1) node.new_epoch();
      }
    }
    const Packet asks = ping(family.web, family.world, 7), answer = pong(family.world, family.host, 7);
    CHECK(node.from_pod("web", asks, ping(family.host, family.world, 7)) == sent_out_of("up"));
    CHECK(node.from_uplink("up", answer, pong(family.world, family.web, 7)) == delivered_to("web"));
    // Who pings the node with that identifier is the node's to answer.
    CHECK(node.from_uplink("up", ping(family.world, family.host, 7)) == to_stack());
  }
}

TEST_CASE("of two pods with the same port, or identifier, to the same server one gets another") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Outside outside({.masquerade = true});
    Datapath& node = outside.node;
    const std::string world = family.at(family.world, 443);
    const Packet first = tcp(family.at(family.web, 20000), world, "S"),
                 second = tcp(family.at(family.db, 20000), world, "S");
    CHECK(node.from_pod("web", first).verdict == sent_out_of("up"));
    CHECK(node.from_pod("db", second).verdict == sent_out_of("up"));
    CHECK(port_given(node, first) == 20000);
    const int port = port_given(node, second);
    CHECK(port != 20000);
    CHECK(port >= 1024);
    CHECK((port < 30000 || port > 60999));
    const Packet answer = tcp(world, family.at(family.host, port), "SA");
    CHECK(node.from_uplink("up", answer, answer.between(world, family.at(family.db, 20000))) == delivered_to("db"));

    const Packet one = ping(family.web, family.world, 7), other = ping(family.db, family.world, 7);
    CHECK(node.from_pod("web", one).verdict == sent_out_of("up"));
    CHECK(node.from_pod("db", other).verdict == sent_out_of("up"));
    const auto identifier = static_cast<std::uint16_t>(port_given(node, other));
    CHECK(identifier != 7);
    CHECK(node.from_uplink("up", pong(family.world, family.host, identifier), pong(family.world, family.db, 7)) ==
          delivered_to("db"));
  }
}

TEST_CASE("no port is given that is the node's: reserved, its sockets' by themselves, listened on, or a NodePort") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Outside outside({.masquerade = true});
    Datapath& node = outside.node;
    const int domain = family.v4 ? AF_INET : AF_INET6;
    const Fd tcp_socket = node_socket(domain, SOCK_STREAM, 20001), udp_socket = node_socket(domain, SOCK_DGRAM, 20002);
    for (const std::uint8_t proto : {IPPROTO_TCP, IPPROTO_UDP}) {
      node.service(family.at(family.host, 20003), proto, {family.at(family.web, 80)}, {.flags = SERVICE_OUTSIDE});
      for (const int port : {999, 20001, 20002, 20003, 30000, 45000, 60999, 61000, 29999}) {
        CAPTURE(port);
        const std::string pod = family.at(family.web, port), world = family.at(family.world, 443);
        const Packet asks = proto == IPPROTO_TCP ? tcp(pod, world, "S") : udp(pod, world);
        CHECK(node.from_pod("web", asks).verdict == sent_out_of("up"));
        const bool keeps = port == 61000 || port == 29999 || (port == 20001 && proto == IPPROTO_UDP) ||
                           (port == 20002 && proto == IPPROTO_TCP);
        const int given = port_given(node, asks);
        CHECK((given == port) == keeps);
        CHECK(given >= 1024);
        CHECK((given < 30000 || given > 60999));
      }
    }
  }
}

TEST_CASE("where no port is left the connection is dropped with that reason") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Outside outside({.masquerade = true}, {.kept_first = 1025, .kept_last = 65535});
    Datapath& node = outside.node;
    const std::string world = family.at(family.world, 443);
    CHECK(node.from_pod("web", udp(family.at(family.web, 20000), world)).verdict == sent_out_of("up"));
    CHECK(port_given(node, udp(family.at(family.web, 20000), world)) == 1024);
    CHECK(node.from_pod("web", udp(family.at(family.web, 20001), world)) == dropped(DROP_NO_PORT));
    // Who has one keeps it, and to another server it is free.
    CHECK(node.from_pod("web", udp(family.at(family.web, 20000), world)).verdict == sent_out_of("up"));
    CHECK(port_given(node, udp(family.at(family.web, 20000), world)) == 1024);
    CHECK(node.from_pod("web", udp(family.at(family.web, 20001), family.at(family.world, 53))).verdict ==
          sent_out_of("up"));
  }
}

TEST_CASE("the cluster, blocks that are excluded and protocols without ports keep the pod's address") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    const auto asks = [&](const char* to) { return udp(family.at(family.web, 20000), family.at(to, 53)); };
    const char* excluded = family.v4 ? "198.51.101.7" : "2001:db8:a::7";
    Outside outside({.masquerade = true, .unmasqueraded = {"198.51.101.0/24", "2001:db8:a::/48"}});
    Datapath& node = outside.node;
    CHECK(node.from_pod("web", asks(excluded)) == to_stack());
    CHECK(node.from_pod("web", other(family.web, family.world, 50)) == to_stack());
    CHECK(node.from_pod("web", asks(family.world)).verdict == sent_out_of("up"));
    node.known_address(far(family), 300);  // a pod of another node, as policy knows it
    CHECK(node.from_pod("web", asks(far(family))) == to_stack());
    node.known_address(far(family), IDENTITY_REMOTE_NODE);
    CHECK(node.from_pod("web", asks(far(family))) == to_stack());
    node.known_address(far(family), IDENTITY_HOST);
    CHECK(node.from_pod("web", asks(far(family))) == to_stack());

    Outside overlay({.overlay = true, .masquerade = true});  // another node knows no way back to a pod
    overlay.node.known_address(far(family), IDENTITY_REMOTE_NODE, 0, kNode);
    CHECK(overlay.node.from_pod("web", asks(far(family))).verdict == sent_out_of("up"));

    Outside off;
    CHECK(off.node.from_pod("web", asks(family.world)) == to_stack());
  }
}

TEST_CASE("a Service's endpoint in the world is reached under the node's address, and answers from the Service") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Outside outside({.masquerade = true});
    Datapath& node = outside.node;
    const std::string pod = family.at(family.web, 20000), host = family.at(family.host, 20000),
                      service = family.at(family.v4 ? "10.96.0.1" : "fd96::1", 80),
                      world = family.at(family.world, 8080);
    node.service(service, IPPROTO_TCP, {world});
    const Packet asks = tcp(pod, service, "S"), answers = tcp(world, host, "SA");
    CHECK(node.from_pod("web", asks, asks.between(host, world)) == sent_out_of("up"));
    CHECK(node.from_uplink("up", answers, answers.between(service, pod)) == delivered_to("web"));
  }
}

TEST_CASE("an ICMP error about what left under the node's address reaches the pod, as about its own packet") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Outside outside({.masquerade = true});
    Datapath& node = outside.node;
    const std::string world = family.at(family.world, 53);
    const Packet asks = udp(family.at(family.web, 20000), world), left = udp(family.at(family.host, 20000), world);
    REQUIRE(node.from_pod("web", asks, left) == sent_out_of("up"));
    const std::uint8_t type = family.v4 ? 3 : 1, code = family.v4 ? 1 : 0;
    const Outcome outcome = node.from_uplink("up", icmp_about(router(family), family.host, type, code, 0, left));
    CHECK(outcome.verdict == delivered_to("web"));
    const Decoded got = decode(outcome.got);
    CHECK(got.text.find(std::string(router(family)) + " > " + family.web) != std::string::npos);
    for (const std::string& problem : got.problems) CHECK(problem.find("quoted") != std::string::npos);
    // One about nothing that we know is the node's.
    CHECK(node.from_uplink("up", icmp_about(router(family), family.host, type, code, 0,
                                            udp(family.at(family.host, 20001), world))) == to_stack());
  }
}

TEST_CASE("a node without an address of the family says so") {
  Outside outside({.masquerade = true}, {.v6 = ""});
  CHECK(outside.node.from_pod("web", udp("[fd00::5]:20000", "[2001:db8:9::9]:53")) == dropped(DROP_NO_SOURCE));
  CHECK(outside.node.from_pod("web", udp("10.0.0.5:20000", "198.51.100.9:53")).verdict == sent_out_of("up"));
}

TEST_CASE("fragments of an outside client's datagram follow the first") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Outside outside;
    Datapath& node = outside.node;
    node_port(node, family, IPPROTO_UDP, {family.at(family.web, 8080)});
    const Connection way(family, IPPROTO_UDP);
    CHECK(node.from_uplink("up", way.asks.payload(64).fragment(5, 0)).verdict == delivered_to("web"));
    CHECK(node.from_uplink("up", way.asks.payload(64).fragment(5, 72, false),
                           way.asks_there.payload(64).fragment(5, 72, false)) == delivered_to("web"));
  }
}
