// Connections that come in by an uplink and leave by it again, in xdp_uplink: what from_uplink has decided, frame by
// frame.
#include <doctest/doctest.h>
#include <linux/bpf.h>
#include <netinet/in.h>

#include <algorithm>
#include <functional>
#include <set>

#include "maps/service.h"
#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"
#include "tests/datapath/xdp.hpp"

using namespace sluice::test;
using namespace sluice::maps;
using sluice::Mac;
using sluice::loader::kHostMac;
using sluice::loader::kTunnelSourceMac;

namespace {

constexpr std::uint32_t kNode = 9;
constexpr std::uint16_t kTunnelPort = 8472;
constexpr std::size_t kSourcePort[] = {14 + 40, 14 + 20};  ///< of a tunnel, by "over IPv4"

const char* far(const Family& family) { return family.v4 ? "10.9.0.7" : "fd09::7"; }
const char* here(bool v4) { return v4 ? "192.0.2.1" : "2001:db8::1"; }
const char* there(bool v4) { return v4 ? "192.0.2.9" : "2001:db8::9"; }

/// The frame in a tunnel between two nodes, as the device of the kernel makes it.
Bytes tunnelled(const Bytes& inner, bool over_v4, const char* from, const char* to, std::uint16_t sport,
                const Mac& from_mac, const Mac& to_mac) {
  Bytes carried(8 + inner.size());
  carried[0] = 0x08;
  carried[6] = kVni;
  std::ranges::copy(inner, carried.begin() + 8);
  const Family& underlay = kFamilies[over_v4 ? 0 : 1];
  Bytes frame = udp(underlay.at(from, sport), underlay.at(to, kTunnelPort))
                    .payload(carried)
                    .dont_fragment()
                    .frame(from_mac, to_mac);
  if (over_v4) frame.at(14 + 20 + 6) = frame.at(14 + 20 + 7) = 0;  // RFC 7348, 5: no checksum
  return frame;
}

/// A node port whose endpoint is on node 9, behind a tunnel or beyond the uplink, and a client that has opened a
/// connection to it.
struct Balancer {
  Balancer(const Family& of, std::uint8_t protocol, bool overlay, bool over_v4 = true, bool direct = false)
      : family(of), proto(protocol), underlay_v4(over_v4), node(settings(overlay, direct)) {
    node.pod("web", "10.0.0.5", "fd00::5").pod("up", "10.0.0.99", "fd00::99").forget_pod("up").uplink("up");
    if (overlay) {
      node.pod("device", "10.0.0.100", "fd00::100").tunnel_device("device").node(kNode, there(over_v4));
      for (const char* block : {"10.9.0.0/16", "fd09::/16"}) node.known_address(block, IDENTITY_UNKNOWN, 0, kNode);
    }
    node.service(service, proto, {backend}, {.flags = SERVICE_OUTSIDE});
    const Packet opens = proto == IPPROTO_TCP ? asks.flags("S") : asks;
    CHECK(node.from_uplink("up", opens, direct ? opens : opens.between(as_node, backend)) ==
          (overlay ? tunnelled_to(kNode) : sent_out_of("up")));
  }

  /// A connection that is not answered is over soon: a kernel that has just started knows no earlier time.
  static Settings settings(bool overlay, bool direct) {
    Settings all{.overlay = overlay, .direct = direct};
    all.timeouts[TIMEOUT_TCP_OPENING] = std::chrono::seconds(3);
    return all;
  }
  /// A frame in the tunnel, on its way from node 9 to here.
  [[nodiscard]] Bytes arriving(const Bytes& inner) const {
    return tunnelled(inner, underlay_v4, there(underlay_v4), here(underlay_v4), 50001, kRouterMac, kHostMac);
  }
  [[nodiscard]] Bytes answer_frame(const Packet& packet) const {
    return arriving(packet.frame(kTunnelSourceMac, kHostMac));
  }

  const Family& family;
  std::uint8_t proto;
  bool underlay_v4;
  Datapath node;
  std::string client = family.at(family.world, 20000), service = family.at(family.host, 30080),
              backend = family.at(far(family), 8080), as_node = family.at(family.host, 20000);
  Packet asks = proto == IPPROTO_TCP ? tcp(client, service, "A").payload(100) : udp(client, service).payload(100);
  Packet asks_there = asks.between(as_node, backend);
  Packet answers = proto == IPPROTO_TCP ? tcp(backend, as_node, "A").payload(33) : udp(backend, as_node).payload(33);
  Packet answers_here = answers.between(service, client);
};

constexpr std::uint8_t kProtocols[] = {IPPROTO_TCP, IPPROTO_UDP};

}  // namespace

TEST_CASE(
    "a client's packets go on in the tunnel that from_uplink has chosen, with the headers that the device writes") {
  for (const Family& family : kFamilies)
    for (const std::uint8_t proto : kProtocols)
      for (const bool over_v4 : {true, false}) {
        CAPTURE(family.name);
        CAPTURE(proto);
        CAPTURE(over_v4);
        Balancer balancer(family, proto, true, over_v4);
        Datapath& node = balancer.node;
        const XdpUplink xdp(node, "up");
        const XdpOutcome sent = xdp.run(balancer.asks);
        REQUIRE(sent.action == XDP_TX);
        const auto at = kSourcePort[over_v4 ? 1 : 0];
        const auto sport = static_cast<std::uint16_t>(sent.got.at(at) << 8 | sent.got.at(at + 1));
        CHECK(sport >= 0xc000);
        const Bytes inner = balancer.asks_there.ttl(63).frame(kTunnelSourceMac, kHostMac);
        CHECK(sent.got == tunnelled(inner, over_v4, here(over_v4), there(over_v4), sport, kHostMac, kRouterMac));
        CHECK(xdp.run(balancer.asks).got == sent.got);  // one way through the underlay
        const auto flow = node.flow(balancer.asks);
        CHECK(flow->half().packets == 3);
        CHECK(flow->half().bytes == 2 * balancer.asks.ip().size() +
                                        (proto == IPPROTO_TCP ? balancer.asks.flags("S") : balancer.asks).ip().size());
        CHECK(node.metric(DROP_NONE, HOOK_XDP_UPLINK).packets == 2);
        CHECK(node.metric(DROP_NONE, HOOK_XDP_UPLINK).bytes == 2 * balancer.asks.frame({}, {}).size());
      }
}

TEST_CASE("what the endpoint's node sends back by the tunnel goes to the client from the service's address") {
  for (const Family& family : kFamilies)
    for (const std::uint8_t proto : kProtocols)
      for (const bool over_v4 : {true, false}) {
        CAPTURE(family.name);
        CAPTURE(proto);
        CAPTURE(over_v4);
        Balancer balancer(family, proto, true, over_v4);
        Datapath& node = balancer.node;
        const XdpUplink xdp(node, "up");
        const XdpOutcome sent = xdp.run(balancer.answer_frame(balancer.answers));
        CHECK(sent.action == XDP_TX);
        CHECK(sent.got == balancer.answers_here.ttl(63).frame(kHostMac, kRouterMac));
        const auto asked = node.flow(balancer.asks), answered = node.flow(balancer.answers);
        CHECK(answered->half().packets == 1);
        CHECK(answered->half().last_seen_ns != 0);
        CHECK(asked->back().last_seen_ns == answered->half().last_seen_ns);  // each entry knows of the other
      }
}

TEST_CASE("a client that the endpoint's node answers goes on as it is, in a frame that names the endpoint") {
  for (const Family& family : kFamilies)
    for (const std::uint8_t proto : kProtocols)
      for (const bool over_v4 : {true, false}) {
        CAPTURE(family.name);
        CAPTURE(proto);
        CAPTURE(over_v4);
        Balancer balancer(family, proto, true, over_v4, true);
        const XdpUplink xdp(balancer.node, "up");
        const XdpOutcome sent = xdp.run(balancer.asks);
        REQUIRE(sent.action == XDP_TX);
        const auto at = kSourcePort[over_v4 ? 1 : 0];
        const auto sport = static_cast<std::uint16_t>(sent.got.at(at) << 8 | sent.got.at(at + 1));
        const Mac low = family.v4 ? Mac{{0x0a, 0, 0, 0xff, 0xff, 10}} : Mac{{0x0a, 0, 0, 0, 0, 0}};
        const Mac rest = family.v4 ? Mac{{0x0a, 9, 0, 7, 0x1f, 0x90}} : Mac{{0x0a, 0, 0, 7, 0x1f, 0x90}};
        CHECK(sent.got == tunnelled(balancer.asks.ttl(63).frame(rest, low), over_v4, here(over_v4), there(over_v4),
                                    sport, kHostMac, kRouterMac));
        CHECK(balancer.node.flow(balancer.asks)->half().packets == 2);
      }
}

TEST_CASE("an endpoint beyond the uplink is reached and answers by it, without tunnel") {
  for (const Family& family : kFamilies)
    for (const std::uint8_t proto : kProtocols) {
      CAPTURE(family.name);
      CAPTURE(proto);
      Balancer balancer(family, proto, false);
      const XdpUplink xdp(balancer.node, "up");
      const XdpOutcome asked = xdp.run(balancer.asks), answered = xdp.run(balancer.answers);
      CHECK(asked.action == XDP_TX);
      CHECK(asked.got == balancer.asks_there.ttl(63).frame(kHostMac, kRouterMac));
      CHECK(answered.action == XDP_TX);
      CHECK(answered.got == balancer.answers_here.ttl(63).frame(kHostMac, kRouterMac));
    }
}

TEST_CASE("flows have different source ports in the underlay") {
  Balancer balancer(kFamilies[0], IPPROTO_UDP, true);
  const XdpUplink xdp(balancer.node, "up");
  std::set<int> ports;
  for (int port = 20001; port <= 20064; port++) {
    const Packet asks = balancer.asks.between(balancer.family.at(balancer.family.world, port), balancer.service);
    REQUIRE(balancer.node.from_uplink("up", asks).verdict == tunnelled_to(kNode));
    const Bytes got = xdp.run(asks).got;
    ports.insert(got.at(kSourcePort[1]) << 8 | got.at(kSourcePort[1] + 1));
  }
  CHECK(ports.size() >= 60);
}

TEST_CASE("an outer header tells of the congestion that the inner one knows, and of none that is its own way's") {
  for (const std::uint8_t ecn : {0, 1, 2, 3}) {
    Balancer balancer(kFamilies[0], IPPROTO_UDP, true);
    const XdpUplink xdp(balancer.node, "up");
    Bytes frame = balancer.asks.frame(kRouterMac, kHostMac);
    frame.at(15) = ecn;
    frame.at(25) = static_cast<std::uint8_t>(frame.at(25) - ecn);  // the header's checksum; does not borrow
    const XdpOutcome sent = xdp.run(frame);
    REQUIRE(sent.action == XDP_TX);
    CHECK(sent.got.at(15) == (ecn == 3 ? 2 : ecn));
    CHECK(sent.got.at(50 + 15) == ecn);
    CHECK(decode(sent.got).problems.empty());
  }
}

TEST_CASE("whatever is not all said in the entry goes on to from_uplink as it came, and is not counted") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    struct Row {
      std::string name;
      std::function<Bytes(Balancer&)> frame;
    };
    const auto asks = [](const Packet& packet) { return packet.frame(kRouterMac, kHostMac); };
    const std::vector<Row> rows = {
        {"SYN", [&](Balancer& b) { return asks(b.asks.flags("S")); }},
        {"unknown", [&](Balancer& b) { return asks(b.asks.between(family.at(family.world, 1), b.service)); }},
        {"no hop left", [&](Balancer& b) { return asks(b.asks.ttl(1)); }},
        {"too big for the tunnel", [&](Balancer& b) { return asks(b.asks.payload(1420)); }},
        {"a fragment", [&](Balancer& b) { return asks(b.asks.fragment(1, 0)); }},
        {"another's frame", [&](Balancer& b) { return asks(b.asks.to_mac("02:00:00:00:00:77")); }},
        {"in a VLAN", [&](Balancer& b) { return asks(b.asks.vlan(7)); }},
        {"cut inside the TCP header",
         [&](Balancer& b) { return asks(b.asks.cut_to(14 + (family.v4 ? 20 : 40) + 12)); }},
        {"decided in another epoch", [&](Balancer& b) { return b.node.new_epoch(), asks(b.asks); }},
        {"over", [&](Balancer& b) { return b.node.age(b.asks, 4), asks(b.asks); }},
        {"watched", [&](Balancer& b) { return b.node.observe(0, {.events = 1U << EVENT_PACKET}), asks(b.asks); }},
        {"an ICMP error",
         [&](Balancer& b) {
           return asks(icmp_about(family.world, family.host, family.v4 ? 3 : 1, 1, 0, b.answers_here));
         }},
        {"checksum left to the device", [&](Balancer& b) { return asks(b.asks.partial_checksum()); }},
        {"answer by another node's tunnel",
         [&](Balancer& b) {
           return tunnelled(b.answers.frame(kTunnelSourceMac, kHostMac), true, "192.0.2.8", here(true), 1, kRouterMac,
                            kHostMac);
         }},
        {"answer by a tunnel of another cluster",
         [&](Balancer& b) {
           Bytes frame = b.answer_frame(b.answers);
           frame.at(48)++;
           return frame;
         }},
        {"answer with a flag that VXLAN has not",
         [&](Balancer& b) {
           Bytes frame = b.answer_frame(b.answers);
           frame.at(42) |= 0x80;
           return frame;
         }},
        {"answer that met a queue",
         [&](Balancer& b) {
           Bytes frame = b.answer_frame(b.answers);
           frame.at(15) |= 3;
           return frame;
         }},
        {"answer without a tunnel", [&](Balancer& b) { return asks(b.answers); }},
        {"tunnel to another address",
         [&](Balancer& b) {
           return tunnelled(b.answers.frame(kTunnelSourceMac, kHostMac), true, there(true), "192.0.2.2", 1, kRouterMac,
                            kHostMac);
         }},
        {"what pods say to each other",
         [&](Balancer& b) { return b.answer_frame(b.answers.between(b.backend, family.at(family.web, 80))); }},
    };
    for (const Row& row : rows) {
      CAPTURE(row.name);
      Balancer balancer(family, IPPROTO_TCP, true);
      const XdpUplink xdp(balancer.node, "up");
      const Bytes frame = row.frame(balancer);
      const auto asked = balancer.node.flow(balancer.asks)->half().packets;
      const XdpOutcome outcome = xdp.run(frame);
      CHECK(outcome.action == XDP_PASS);
      CHECK(outcome.got == frame);
      CHECK(balancer.node.flow(balancer.asks)->half().packets == asked);
      CHECK(balancer.node.metric(DROP_NONE, HOOK_XDP_UPLINK).packets == 0);
    }
  }
}

TEST_CASE("a pod of this node that answers outside clients is none of xdp_uplink's") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    node.pod("web", "10.0.0.5", "fd00::5").pod("up", "10.0.0.99", "fd00::99").forget_pod("up").uplink("up");
    node.service(family.at(family.host, 30080), IPPROTO_UDP, {family.at(family.web, 8080)}, {.flags = SERVICE_OUTSIDE});
    const Packet asks = udp(family.at(family.world, 20000), family.at(family.host, 30080));
    REQUIRE(node.from_uplink("up", asks).verdict == delivered_to("web"));
    CHECK(XdpUplink(node, "up").run(asks).action == XDP_PASS);
    CHECK(node.flow(asks)->half().packets == 1);
  }
}

TEST_CASE("over IPv6 a datagram without a checksum, and a frame with padding, are left to the tunnel device") {
  for (const bool over_v4 : {false, true}) {
    CAPTURE(over_v4);
    Balancer balancer(kFamilies[0], IPPROTO_UDP, true, over_v4);
    const XdpUplink xdp(balancer.node, "up");
    Bytes bare = balancer.asks.frame(kRouterMac, kHostMac), padded = bare;
    bare.at(40) = bare.at(41) = 0;
    padded.resize(padded.size() + 4);
    for (const Bytes& frame : {bare, padded}) CHECK(xdp.run(frame).action == (over_v4 ? XDP_TX : XDP_PASS));
    const Bytes got = xdp.run(bare).got;
    if (over_v4) CHECK((got.at(50 + 40) | got.at(50 + 41)) == 0);
  }
}

TEST_CASE("a connection's end is seen in xdp_uplink, too, by whoever watches") {
  Balancer balancer(kFamilies[0], IPPROTO_TCP, true);
  Datapath& node = balancer.node;
  const XdpUplink xdp(node, "up");
  node.observe(0, {.events = 1U << EVENT_CLOSED});
  CHECK(xdp.run(balancer.asks.flags("A")).action == XDP_TX);
  CHECK(xdp.run(balancer.answer_frame(balancer.answers.flags("A"))).action == XDP_TX);
  CHECK(xdp.run(balancer.asks.flags("FA")).action == XDP_TX);
  CHECK(node.events(0).empty());
  CHECK(xdp.run(balancer.answer_frame(balancer.answers.flags("FA"))).action == XDP_TX);
  const auto events = node.events(0);
  REQUIRE(events.size() == 1);
  CHECK(events[0].hook == HOOK_XDP_UPLINK);
  CHECK(sluice::Address(events[0].src).text() == balancer.family.world);
}

TEST_CASE("a packet of a connection that bounces costs three lookups with its count, and one of the routes") {
  using Counts = std::map<std::string, unsigned>;
  for (const Family& family : kFamilies)
    for (const std::uint8_t proto : kProtocols) {
      CAPTURE(family.name);
      CAPTURE(proto);
      for (const bool overlay : {true, false}) {
        CAPTURE(overlay);
        Balancer balancer(family, proto, overlay);
        const XdpUplink xdp(balancer.node, "up");
        for (const Bytes& frame :
             {balancer.asks.frame(kRouterMac, kHostMac),
              overlay ? balancer.answer_frame(balancer.answers) : balancer.answers.frame(kRouterMac, kHostMac)}) {
          REQUIRE(xdp.run(frame).action == XDP_TX);
          const Path path = xdp.path(frame);
          CHECK(path.action == XDP_TX);
          CHECK(path.lookups ==
                (overlay ? Counts{{"flows", 1}, {"nodes", 1}, {"metrics", 1}} : Counts{{"flows", 1}, {"metrics", 1}}));
          CHECK(path.updates.empty());
          CHECK(path.helpers.at("fib_lookup") == 1);
          CHECK(path.helpers.contains("xdp_adjust_head") == overlay);
          CHECK(path.instructions <= (overlay ? 800 : 520));
        }
      }
    }
}
