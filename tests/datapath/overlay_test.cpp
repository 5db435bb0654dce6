// Packets for pods of other nodes. What a tunnel brings is proved by tests/e2e/overlay_test.cpp: a test run has no
// tunnel.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include "maps/ipcache.h"
#include "maps/node.h"
#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

constexpr std::uint32_t kNode = 9;

const char* far(const Family& family) { return family.v4 ? "10.9.0.7" : "fd09::7"; }

/// A node with the pod web, that knows of node 9 with pods in 10.9.0.0/16 and fd09::/16.
struct Overlay {
  explicit Overlay(const char* tunnel_end = "192.0.2.9", bool overlay = true) : node({.overlay = overlay}) {
    node.pod("web", "10.0.0.5", "fd00::5").pod("device", "10.0.0.100", "fd00::100");
    node.tunnel_device("device").node(kNode, tunnel_end);
    node.known_address("10.9.0.0/16", IDENTITY_UNKNOWN, 0, kNode)
        .known_address("fd09::/16", IDENTITY_UNKNOWN, 0, kNode);
  }

  Datapath node;
};

}  // namespace

TEST_CASE("what is for a pod of another node goes into the tunnel there, and its answers are expected from it") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Overlay overlay;
    Datapath& node = overlay.node;
    const Packet packet = tcp(family.at(family.web, 999), family.at(far(family), 80), "S");
    for (int i = 0; i < 3; i++) CHECK(node.from_pod("web", packet) == tunnelled_to(kNode));
    const auto flow = node.flow(packet);
    REQUIRE(flow);
    CHECK(flow->half().packets == 3);
    CHECK(flow->half().origin == node.ifindex("web"));
    CHECK(flow->half().egress_ifindex == node.ifindex("device"));
    CHECK(flow->half().mtu == 1500 - TUNNEL_OVERHEAD_V4);
    CHECK(flow->back().origin == node.ifindex("device"));
    CHECK(flow->back().from_node == kNode);
    CHECK(flow->back().egress_ifindex == node.ifindex("web"));
    CHECK(flow->back().delivery == FLOW_TO_PEER);
    CHECK(node.counter(COUNTER_FLOW_CREATED) == 1);
  }
}

TEST_CASE("a packet that is too big for the tunnel is answered with what fits, by either underlay") {
  const struct {
    const char* tunnel_end;
    unsigned mtu;
  } underlays[] = {{"192.0.2.9", 1450}, {"2001:db8::9", 1430}};
  for (const auto& underlay : underlays) {
    for (const Family& family : kFamilies) {
      CAPTURE(family.name);
      CAPTURE(underlay.mtu);
      Overlay overlay(underlay.tunnel_end);
      const std::size_t head = family.v4 ? 28 : 48;
      const auto sized = [&](std::size_t size) {
        return udp(family.at(family.web, 999), family.at(far(family), 53)).payload(size - head);
      };
      CHECK(overlay.node.from_pod("web", sized(underlay.mtu).dont_fragment()) == tunnelled_to(kNode));
      CHECK(overlay.node.from_pod("web", sized(underlay.mtu + 1).dont_fragment()) == told_sender(DROP_TOO_BIG));
      // Without "don't fragment" it is the outer packet that may be fragmented.
      if (family.v4) CHECK(overlay.node.from_pod("web", sized(underlay.mtu + 1)) == tunnelled_to(kNode));
    }
  }
}

TEST_CASE(
    "a node that is not known, and a tunnel device that is not there, are told apart from a way through the stack") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    const Packet packet = udp(family.at(family.web, 999), family.at(far(family), 53));
    Overlay overlay;
    Datapath& node = overlay.node;
    CHECK(node.from_pod("web", packet) == tunnelled_to(kNode));
    node.node(kNode, "::");  // it has left
    CHECK(node.from_pod("web", packet) == dropped(DROP_NO_TUNNEL));
    node.node(kNode, "192.0.2.10");
    CHECK(node.from_pod("web", packet) == tunnelled_to(kNode));
    node.known_address("10.9.0.0/16", IDENTITY_UNKNOWN).known_address("fd09::/16", IDENTITY_UNKNOWN);
    CHECK(node.from_pod("web", packet) == to_stack());

    Overlay without("192.0.2.9", false);
    CHECK(without.node.from_pod("web", packet) == to_stack());
  }
}

TEST_CASE("another node itself is reached without a tunnel") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Overlay overlay;
    overlay.node.known_address(family.world, IDENTITY_REMOTE_NODE, 0, kNode);
    CHECK(overlay.node.from_pod("web", udp(family.at(family.web, 999), family.at(family.world, 53))) == to_stack());
  }
}

TEST_CASE("a Service's backend on another node is reached through the tunnel, behind the translation") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Overlay overlay;
    const char* vip = family.v4 ? "10.96.0.1" : "fd96::1";
    const std::string client = family.at(family.web, 999), backend = family.at(far(family), 8080);
    overlay.node.service(family.at(vip, 80), IPPROTO_TCP, {backend});
    const Packet asks = tcp(client, family.at(vip, 80), "S"), asks_there = asks.between(client, backend);
    for (int i = 0; i < 2; i++) CHECK(overlay.node.from_pod("web", asks, asks_there) == tunnelled_to(kNode));
    const auto answers = overlay.node.flow(asks_there);
    REQUIRE(answers);
    CHECK(answers->back().from_node == kNode);
    CHECK(answers->back().delivery == FLOW_TO_PEER);
  }
}

TEST_CASE("egress policy holds for pods of other nodes") {
  Overlay overlay;
  overlay.node.pod_policy("web", 256, 99, 0);  // a rule set that is not there allows nothing
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    const Outcome outcome = overlay.node.from_pod("web", udp(family.at(family.web, 999), family.at(far(family), 53)));
    CHECK(outcome == dropped(DROP_POLICY_EGRESS));
  }
}

TEST_CASE("what comes to the tunnel device by no tunnel is dropped, into a known connection, too") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Overlay overlay;
    Datapath& node = overlay.node;
    const Packet asks = udp(family.at(family.web, 999), family.at(far(family), 53)),
                 answers = udp(family.at(far(family), 53), family.at(family.web, 999));
    CHECK(node.from_overlay("device", answers) == dropped(DROP_FOREIGN_TUNNEL));
    CHECK(node.from_pod("web", asks) == tunnelled_to(kNode));
    CHECK(node.from_overlay("device", answers) == dropped(DROP_FOREIGN_TUNNEL));
    CHECK(node.flow(answers)->half().packets == 0);
    CHECK(node.from_overlay("device", udp(family.at(family.world, 1), family.at(family.web, 1))) ==
          dropped(DROP_FOREIGN_TUNNEL));
  }
}
