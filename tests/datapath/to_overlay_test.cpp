// What the node's own processes send to pods of other nodes, and what comes back. tests/e2e/node_tunnel_test.cpp has
// the tunnel's other end.
#include <doctest/doctest.h>

#include "maps/ipcache.h"
#include "maps/node.h"
#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

constexpr std::uint32_t kNode = 9;

const char* far(const Family& family) { return family.v4 ? "10.9.0.7" : "fd09::7"; }

struct Overlay {
  explicit Overlay(const char* tunnel_end = "192.0.2.9") : node({.overlay = true}) {
    node.pod("web", "10.0.0.5", "fd00::5").pod("device", "10.0.0.100", "fd00::100").forget_pod("device");
    node.tunnel_device("device").node(kNode, tunnel_end);
    for (const char* block : {"10.9.0.0/16", "fd09::/16"}) node.known_address(block, IDENTITY_UNKNOWN, 0, kNode);
    for (const Family& family : kFamilies) node.known_address(family.host, IDENTITY_HOST);
  }

  Datapath node;
};

}  // namespace

TEST_CASE(
    "the node's own packet for a pod of another node goes into the tunnel there, and leaves a flow for its answers") {
  for (const Family& family : kFamilies) {
    const std::string here = family.at(family.host, 999), there = family.at(far(family), 80);
    const Packet rows[] = {tcp(here, there, "S"), udp(here, there), ping(family.host, far(family), 7),
                           udp(here, family.at(far(family), 81)).ttl(1)};
    for (const Packet& packet : rows) {
      CAPTURE(family.name);
      Overlay overlay;
      Datapath& node = overlay.node;
      for (int round = 0; round < 3; round++) {
        CHECK(node.to_overlay("device", packet) == tunnelled_to(kNode));
        if (round == 1) node.new_epoch();
      }
      const auto flow = node.flow(packet);
      REQUIRE(flow);
      CHECK(flow->half().packets == 3);
      CHECK(flow->half().origin == (node.ifindex("device") | FLOW_ORIGIN_HOST));
      CHECK(flow->back().origin == node.ifindex("device"));
      CHECK(flow->back().from_node == kNode);
      CHECK(flow->back().delivery == FLOW_TO_STACK);
      CHECK(node.counter(COUNTER_FLOW_CREATED) == 1);
    }
  }
}

TEST_CASE(
    "what is not the node's own, or for no pod behind a tunnel, is dropped; what is for many stays to the device") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Overlay overlay;
    Datapath& node = overlay.node;
    const std::string there = family.at(far(family), 80), here = family.at(family.host, 999);
    for (const char* other : {family.web, family.world})
      CHECK(node.to_overlay("device", udp(family.at(other, 9), there)) == dropped(DROP_NOT_NODES_OWN));
    CHECK(node.to_overlay("device", udp(here, family.at(family.world, 80))) == dropped(DROP_NO_TUNNEL));
    node.node(kNode, "::");
    CHECK(node.to_overlay("device", udp(here, there)) == dropped(DROP_NO_TUNNEL));
    const Outcome many = node.to_overlay("device", udp(here, there).to_mac("33:33:00:00:00:01"));
    CHECK(many.verdict == to_stack());
    CHECK(many.got == many.sent);
    CHECK(node.flows().empty());
  }
}

TEST_CASE("a program's packet, which has its tunnel, passes to_overlay untouched and uncounted") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Overlay overlay;
    const Packet packet = udp(family.at(family.web, 9), family.at(far(family), 80));
    const Outcome outcome =
        overlay.node.to_overlay("device", packet.from_mac(sluice::loader::kTunnelSourceMac.text().c_str()));
    CHECK(outcome == to_stack());
    CHECK(outcome.got == outcome.sent);
    CHECK(overlay.node.flows().empty());
  }
}
