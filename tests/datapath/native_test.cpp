// Pods of other nodes to which routes lead, without tunnels.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include "maps/ipcache.h"
#include "maps/node.h"
#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

constexpr std::uint32_t kNode = 9, kTunnelledNode = 8;

const char* far(const Family& family) { return family.v4 ? "10.9.0.7" : "fd09::7"; }
const char* tunnelled(const Family& family) { return family.v4 ? "10.8.0.7" : "fd08::7"; }
const char* other_node(const Family& family) { return family.v4 ? "192.0.2.9" : "2001:db8::99"; }

/// A node with the pods web and db and the uplink "up", which knows of node 9 with pods in 10.9.0.0/16 and fd09::/16.
struct Native {
  explicit Native(const Settings& settings = {.native = true, .masquerade = true}, const UplinkOptions& uplink = {},
                  const PodOptions& web = {})
      : node(settings) {
    node.pod("web", "10.0.0.5", "fd00::5", web).pod("db", "10.0.0.6", "fd00::6").pod("up", "10.0.0.99", "fd00::99");
    node.forget_pod("up").uplink("up", uplink).node(kNode, "192.0.2.9", NODE_NATIVE);
    for (const char* block : {"10.9.0.0/16", "fd09::/16"}) node.known_address(block, IDENTITY_UNKNOWN, 0, kNode);
    for (const Family& family : kFamilies) {
      node.known_address(family.host, IDENTITY_HOST);
      node.known_address(other_node(family), IDENTITY_REMOTE_NODE, 0, kNode);
    }
  }

  /// In mixed mode: node 8 with pods in 10.8.0.0/16 and fd08::/16 behind a tunnel.
  Native& tunnel() {
    node.pod("device", "10.0.0.100", "fd00::100").tunnel_device("device").node(kTunnelledNode, "192.0.2.8");
    for (const char* block : {"10.8.0.0/16", "fd08::/16"})
      node.known_address(block, IDENTITY_UNKNOWN, 0, kTunnelledNode);
    return *this;
  }

  Datapath node;
};

const Settings kMixed{.overlay = true, .native = true, .masquerade = true};

}  // namespace

TEST_CASE("what is for a pod of another node leaves by the uplink as it is, and its answers come by one") {
  for (const Family& family : kFamilies) {
    const std::string pod = family.at(family.web, 999), there = family.at(far(family), 80);
    const struct {
      const char* name;
      Packet asks, answers;
    } rows[] = {{"TCP", tcp(pod, there, "S"), tcp(there, pod, "SA")},
                {"UDP", udp(pod, there), udp(there, pod)},
                {"echo", ping(family.web, far(family), 7), pong(far(family), family.web, 7)},
                {"without ports", other(family.web, far(family), 50), other(far(family), family.web, 50)}};
    Native native;
    for (const auto& row : rows) {
      CAPTURE(family.name);
      CAPTURE(row.name);
      for (int round = 0; round < 3; round++) {  // decided, then known, then decided anew
        CHECK(native.node.from_pod("web", row.asks) == sent_out_of("up"));
        CHECK(native.node.from_uplink("up", row.answers) == delivered_to("web"));
        if (round == 1) native.node.new_epoch();
      }
      const auto flow = native.node.flow(row.asks);
      REQUIRE(flow);
      CHECK(flow->entry.flags == 0);
      CHECK(flow->half().packets == 3);
      CHECK(flow->back().packets == 3);
      CHECK(flow->half().mtu == 1500);
    }
    CHECK(native.node.counter(COUNTER_FLOW_CREATED) == 4);
  }
}

TEST_CASE(
    "what another node's pod, another node or the world sends to a pod is delivered, and answered by the uplink") {
  for (const Family& family : kFamilies) {
    Native native;
    for (const char* client : {far(family), other_node(family), family.world}) {
      CAPTURE(client);
      const std::string from = family.at(client, 999), pod = family.at(family.web, 80);
      for (int round = 0; round < 3; round++) {
        CHECK(native.node.from_uplink("up", tcp(from, pod, "S")) == delivered_to("web"));
        CHECK(native.node.from_pod("web", tcp(pod, from, "SA")) == sent_out_of("up"));
        CHECK(native.node.from_uplink("up", ping(client, family.web, 7)) == delivered_to("web"));
        CHECK(native.node.from_pod("web", pong(family.web, client, 7)) == sent_out_of("up"));
        if (round == 1) native.node.new_epoch();
      }
    }
    CHECK(native.node.counter(COUNTER_FLOW_CREATED) == 6);
    // What is for none of this node's pods is the stack's.
    CHECK(native.node.from_uplink("up", udp(family.at(far(family), 9), family.at(family.host, 9))) == to_stack());
    CHECK(native.node.from_uplink("up", ping(family.world, family.host, 7)) == to_stack());
  }
}

TEST_CASE("ingress policy judges by who the address map says the sender is") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Native native;
    Datapath& node = native.node;
    const peer_verdict allow{.admin = {}, .network = {7, 1, POLICY_ALLOW, 0}, .baseline = {}};
    node.policy(5, POLICY_ISOLATES, {{.proto = IPPROTO_TCP, .port = 80, .length = 16, .peers = {{300, allow}}}});
    node.pod_policy("web", 256, 0, 5);
    const Packet asks = tcp(family.at(far(family), 999), family.at(family.web, 80), "S");
    CHECK(node.from_uplink("up", asks) == dropped(DROP_POLICY_INGRESS));
    node.known_address(far(family), 300, 0, kNode);
    CHECK(node.from_uplink("up", asks) == delivered_to("web"));
    // And a running connection, from the next packet on.
    node.known_address(far(family), 301, 0, kNode);
    CHECK(node.from_uplink("up", asks.flags("A")) == dropped(DROP_POLICY_INGRESS));
    node.pod_policy("web", 256, 99, 0);
    CHECK(node.from_pod("web", udp(family.at(family.web, 9), family.at(far(family), 9))) ==
          dropped(DROP_POLICY_EGRESS));
  }
}

TEST_CASE("by an uplink nobody speaks to a pod for this node, its pods, its gateway or a pod behind a tunnel") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Native native(kMixed);
    Datapath& node = native.tunnel().node;
    const char* gateway = family.v4 ? "169.254.1.1" : "fe80::1";
    for (const char* liar : {family.db, family.host, gateway, tunnelled(family)}) {
      CAPTURE(liar);
      CHECK(node.from_uplink("up", udp(family.at(liar, 9), family.at(family.web, 9))) == dropped(DROP_SOURCE_FORGED));
    }
    CHECK(node.flows().empty());
    // Into a connection that is known neither: that is the stack's to judge.
    const Packet talk = udp(family.at(family.db, 1), family.at(family.web, 2));
    REQUIRE(node.from_pod("db", talk) == delivered_to("web"));
    CHECK(node.from_uplink("up", talk) == to_stack());
    CHECK(node.flow(talk)->half().packets == 1);
  }
}

TEST_CASE("only the world sees the node's address in place of a pod's") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Native native;
    const auto asks = [&](const char* to) { return udp(family.at(family.web, 20000), family.at(to, 53)); };
    CHECK(native.node.from_pod("web", asks(far(family))) == sent_out_of("up"));
    CHECK(native.node.from_pod("web", asks(other_node(family))) == to_stack());  // it knows the way back
    CHECK(
        native.node.from_pod("web", asks(family.world),
                             asks(family.world).between(family.at(family.host, 20000), family.at(family.world, 53))) ==
        sent_out_of("up"));
  }
}

TEST_CASE("where some nodes are behind tunnels and some are not, each is reached by its own way") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Native native(kMixed);
    Datapath& node = native.tunnel().node;
    const auto asks = [&](const char* to) { return udp(family.at(family.web, 20000), family.at(to, 53)); };
    CHECK(node.from_pod("web", asks(far(family))) == sent_out_of("up"));
    CHECK(node.from_pod("web", asks(tunnelled(family))) == tunnelled_to(kTunnelledNode));
    // It moves to the other link, and running connections with it.
    node.node(kNode, "192.0.2.9").node(kTunnelledNode, "192.0.2.8", NODE_NATIVE);
    CHECK(node.from_pod("web", asks(far(family))) == tunnelled_to(kNode));
    CHECK(node.from_pod("web", asks(tunnelled(family))) == sent_out_of("up"));
  }
}

TEST_CASE("Services have backends on other nodes: for pods, for outside clients, for other nodes' pods") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Native native;
    Datapath& node = native.node;
    const std::string vip = family.at(family.v4 ? "10.96.0.1" : "fd96::1", 80), backend = family.at(far(family), 8080),
                      pod = family.at(family.web, 20000), node_port = family.at(family.host, 30080);
    node.service(vip, IPPROTO_TCP, {backend});
    const Packet asks = tcp(pod, vip, "S"), answers = tcp(backend, pod, "SA");
    for (int round = 0; round < 3; round++) {
      CHECK(node.from_pod("web", asks, asks.between(pod, backend)) == sent_out_of("up"));
      CHECK(node.from_uplink("up", answers, answers.between(vip, pod)) == delivered_to("web"));
      if (round == 1) node.new_epoch();
    }
    node.service(node_port, IPPROTO_TCP, {backend}, {.flags = SERVICE_OUTSIDE});
    const char* another = family.v4 ? "10.9.0.8" : "fd09::8";
    for (const auto& [who, port] : {std::pair(family.world, 20001), std::pair(another, 20002)}) {
      const std::string client = family.at(who, port), host = family.at(family.host, port);
      const Packet from_outside = tcp(client, node_port, "S"), answered = tcp(backend, host, "SA");
      CHECK(node.from_uplink("up", from_outside, from_outside.between(host, backend)) == sent_out_of("up"));
      CHECK(node.from_uplink("up", answered, answered.between(node_port, client)) == sent_out_of("up"));
    }
  }
}

TEST_CASE("what is too big for the uplink is answered with what fits") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Native native({.native = true}, {.mtu = 1400});
    const Packet asks = udp(family.at(family.web, 20000), family.at(far(family), 53)).payload(1400).dont_fragment();
    CHECK(native.node.from_pod("web", asks) == told_sender(DROP_TOO_BIG));
  }
}

TEST_CASE("a pod that is served through the stack gets what an uplink brings by it, decided once") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Native native({.native = true}, {}, {.through_stack = true});
    Datapath& node = native.node;
    const Packet asks = udp(family.at(far(family), 20000), family.at(family.web, 53)),
                 answers = udp(family.at(family.web, 53), family.at(far(family), 20000));
    for (int i = 0; i < 2; i++) {
      CHECK(node.from_uplink("up", asks).got == node.from_uplink("up", asks).sent);
      CHECK(node.flow(asks)->half().delivery == FLOW_TO_STACK);
      const auto seen = node.flow(asks)->half().packets;
      CHECK(node.to_pod("web", asks) == to_stack());
      CHECK(node.flow(asks)->half().packets == seen);
      CHECK(node.from_pod("web", answers) == sent_out_of("up"));
    }
  }
}

TEST_CASE("without a route by an uplink the host's stack goes on with the packet") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node({.native = true, .masquerade = true});
    node.pod("web", "10.0.0.5", "fd00::5").node(kNode, "192.0.2.9", NODE_NATIVE);
    for (const char* block : {"10.9.0.0/16", "fd09::/16"}) node.known_address(block, IDENTITY_UNKNOWN, 0, kNode);
    CHECK(node.from_pod("web", udp(family.at(family.web, 20000), family.at(far(family), 53))) == to_stack());
  }
}
