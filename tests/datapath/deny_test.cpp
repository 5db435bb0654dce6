// The deny list, in from_uplink and in xdp_uplink.
#include <doctest/doctest.h>
#include <linux/bpf.h>
#include <netinet/in.h>

#include <vector>

#include "maps/service.h"
#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"
#include "tests/datapath/xdp.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

const char* block(const Family& family) { return family.v4 ? "198.51.100.0/24" : "2001:db8:9::/48"; }
const char* neighbour(const Family& family) { return family.v4 ? "198.51.101.9" : "2001:db8:a::9"; }

/// A node with an uplink, whose node port leads to a pod.
struct Guarded {
  explicit Guarded(const Family& family) {
    node.pod("web", "10.0.0.5", "fd00::5").pod("up", "10.0.0.99", "fd00::99").forget_pod("up").uplink("up");
    node.service(family.at(family.host, 30080), IPPROTO_UDP, {family.at(family.web, 80)}, {.flags = SERVICE_OUTSIDE});
  }
  Datapath node;
};

/// Whatever a source may send: to a Service, to the node, without ports, in fragments, and what is no whole packet.
std::vector<Packet> packets_from(const Family& family, const char* source) {
  const std::string from = family.at(source, 50000), host = family.at(family.host, 22);
  const Packet plain = udp(from, family.at(family.host, 30080));
  return {plain,
          tcp(from, host, "S"),
          ping(source, family.host),
          other(source, family.host, 50),
          sctp(from, host),
          plain.payload(64).fragment(1, 0),
          plain.payload(64).fragment(9, 72),  // whose first one never came
          plain.cut_to(family.v4 ? 36 : 56),
          icmp_about(source, family.host, family.v4 ? 3 : 1, 1, 0, udp(host, from))};
}

}  // namespace

TEST_CASE("from a denied source nothing comes in, whatever it is; the block beside it is let in") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Guarded guarded(family);
    Datapath& node = guarded.node;
    node.deny(block(family));
    const XdpUplink xdp(node, "up");
    std::uint64_t bytes = 0, count = 0;
    for (const Packet& packet : packets_from(family, family.world)) {
      const Outcome outcome = node.from_uplink("up", packet);
      CAPTURE(decode(outcome.sent).text);
      CHECK(outcome.verdict == dropped(DROP_DENIED_SOURCE));
      CHECK(xdp.run(packet).action == XDP_DROP);
      bytes += outcome.sent.size();
      count++;
    }
    CHECK(node.metric(DROP_DENIED_SOURCE, HOOK_XDP_UPLINK).packets == count);
    CHECK(node.metric(DROP_DENIED_SOURCE, HOOK_XDP_UPLINK).bytes == bytes);
    for (const Packet& packet : packets_from(family, neighbour(family))) {
      CHECK(node.from_uplink("up", packet).verdict.reason != DROP_DENIED_SOURCE);
      const XdpOutcome passed = xdp.run(packet);
      CHECK(passed.action == XDP_PASS);
      CHECK(passed.got == packet.frame(kRouterMac, sluice::loader::kHostMac));
    }
    CHECK(node.metric(DROP_DENIED_SOURCE, HOOK_XDP_UPLINK).packets == count);
  }
}

TEST_CASE(
    "a running connection ends with the packet behind the one that was denied, and goes on when it no longer is") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Guarded guarded(family);
    Datapath& node = guarded.node;
    const Packet asks = udp(family.at(family.world, 50000), family.at(family.host, 30080));
    CHECK(node.from_uplink("up", asks).verdict == delivered_to("web"));
    node.deny(block(family));
    CHECK(node.from_uplink("up", asks) == dropped(DROP_DENIED_SOURCE));
    node.allow_all();
    CHECK(node.from_uplink("up", asks).verdict == delivered_to("web"));
    CHECK(node.flow(asks)->half().packets == 2);
  }
}

TEST_CASE("what is not IP and what is in a VLAN passes the deny list") {
  Guarded guarded(kFamilies[0]);
  Datapath& node = guarded.node;
  node.deny("0.0.0.0/0").deny("::/0");
  const XdpUplink xdp(node, "up");
  const Packet packet = udp("198.51.100.9:1", "192.0.2.1:2");
  CHECK(xdp.run(packet).action == XDP_DROP);
  for (const Packet& passes : {packet.ethertype(0x0806), packet.vlan(7)}) {
    CHECK(xdp.run(passes).action == XDP_PASS);
    CHECK(node.from_uplink("up", passes).verdict == to_stack());
  }
  CHECK(xdp.run(packet.cut_to(14 + 19)).action == XDP_PASS);
}

TEST_CASE("who observes drops sees whom the deny list has dropped before the kernel made a packet of it") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Guarded guarded(family);
    Datapath& node = guarded.node;
    node.deny(block(family));
    const XdpUplink xdp(node, "up");
    node.observe(0, {.events = 1U << EVENT_DROPPED});
    const Packet packet = udp(family.at(family.world, 50000), family.at(family.host, 22));
    CHECK(xdp.run(packet).action == XDP_DROP);
    CHECK(xdp.run(ping(family.world, family.host)).action == XDP_DROP);
    const auto events = node.events(0);
    REQUIRE(events.size() == 2);
    for (const auto& event : events) {
      CHECK(event.reason == DROP_DENIED_SOURCE);
      CHECK(event.hook == HOOK_XDP_UPLINK);
      CHECK(event.ifindex == node.ifindex("up"));
      CHECK(sluice::Address(event.src).text() == family.world);
      CHECK(sluice::Address(event.dst).text() == family.host);
    }
    CHECK(events[0].sport.to_host() == 50000);
    CHECK(events[0].dport.to_host() == 22);
    CHECK(events[0].length == packet.frame({}, {}).size());
  }
}
