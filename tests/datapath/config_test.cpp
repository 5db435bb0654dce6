// Each switch of the programs both ways, and each drop reason with a packet that gets it.
#include <doctest/doctest.h>

#include <functional>
#include <map>

#include "maps/ipcache.h"

#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

TEST_CASE("ICMP errors come from the address that is configured") {
  const Packet v4 = udp("10.0.0.5:999", "10.0.0.6:53").ttl(1), v6 = udp("[fd00::5]:999", "[fd00::6]:53").ttl(1);
  const char* sources[][2] = {{"192.0.2.1", "2001:db8::1"}, {"169.254.1.1", "fe80::1"}};
  for (const auto& source : sources) {
    Datapath node({.icmp_source_v4 = source[0], .icmp_source_v6 = source[1]});
    node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6");
    CHECK(node.from_pod("web", v4).got ==
          icmp_about(source[0], "10.0.0.5", 11, 0, 0, v4).frame(sluice::loader::kHostMac, node.mac("web")));
    CHECK(node.from_pod("web", v6).got ==
          icmp_about(source[1], "fd00::5", 3, 0, 0, v6).frame(sluice::loader::kHostMac, node.mac("web")));
  }
}

TEST_CASE("the MAC address of the host's ends is the one that is configured") {
  const Packet sent = udp("10.0.0.5:999", "10.0.0.6:53");
  const sluice::Mac another{{0x06, 1, 2, 3, 4, 5}};
  Datapath node({.host_mac = another});
  node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6");
  CHECK(node.from_pod("web", sent.to_mac(sluice::loader::kHostMac.text().c_str())) == dropped(DROP_NOT_TO_GATEWAY));
  const Outcome outcome = node.from_pod("web", sent);
  CHECK(outcome == delivered_to("db"));
  CHECK(outcome.got == sent.ttl(63).frame(another, node.mac("db")));
}

TEST_CASE("every drop reason is given to some packet, and counted under it with its bytes") {
  Datapath node({.overlay = true, .native = true, .masquerade = true});
  node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6", {.mtu = 1300});
  node.pod("up", "10.0.0.99", "fd00::99")
      .forget_pod("up")
      .uplink("up", {.v6 = "", .kept_first = 1025, .kept_last = 65535});
  const auto asks_node_port = [&](const char* backend) {
    node.service("192.0.2.1:30080", 17, {backend}, {.id = 4, .flags = SERVICE_OUTSIDE});
    return node.from_uplink("up", udp("198.51.100.9:50000", "192.0.2.1:30080"));
  };
  const Packet plain = udp("10.0.0.5:999", "10.0.0.6:53"), v6 = udp("[fd00::5]:999", "[fd00::6]:53");
  Packet nine = v6;
  for (int i = 0; i < 9; i++) nine = nine.extension(60);
  const std::map<drop_reason, std::function<Outcome()>> rows = {
      {DROP_PARSE_SHORT, [&] { return node.from_pod("web", plain.cut_to(38)); }},
      {DROP_NOT_IP, [&] { return node.from_pod("web", plain.ethertype(0x88cc)); }},
      {DROP_IP_HEADER, [&] { return node.from_pod("web", plain.byte(14, 0x44)); }},
      {DROP_EXTENSION_HEADERS, [&] { return node.from_pod("web", nine); }},
      {DROP_SOURCE_ROUTED,
       [&] {
         return node.from_pod("web", v6.extension(43, {0, 1, 0, 0, 0, 0}));
       }},
      {DROP_VLAN, [&] { return node.from_pod("web", plain.vlan(7)); }},
      {DROP_FRAGMENT_UNKNOWN, [&] { return node.from_pod("web", plain.fragment(1, 64)); }},
      {DROP_SOURCE_SPOOFED, [&] { return node.from_pod("db", plain); }},
      {DROP_SOURCE_MAC, [&] { return node.from_pod("web", plain.from_mac("02:00:00:00:00:09")); }},
      {DROP_NOT_TO_GATEWAY, [&] { return node.from_pod("web", plain.to_mac("02:00:00:00:00:09")); }},
      {DROP_NOT_UNICAST, [&] { return node.from_pod("web", udp("10.0.0.5:1", "224.0.0.1:1")); }},
      {DROP_LINK_LOCAL, [&] { return node.from_pod("web", udp("[fd00::5]:1", "[fe80::2]:1")); }},
      {DROP_NOT_THIS_POD, [&] { return node.to_pod("web", udp("192.0.2.1:1", "10.0.0.6:1")); }},
      {DROP_TTL_EXPIRED, [&] { return node.from_pod("web", plain.ttl(1)); }},
      {DROP_TOO_BIG, [&] { return node.from_pod("web", plain.payload(1400).dont_fragment()); }},
      {DROP_ICMP_UNRELATED,
       [&] {
         return node.from_pod("web", icmp_about("10.0.0.5", "10.0.0.6", 3, 1, 0, udp("10.0.0.6:1", "10.0.0.5:1")));
       }},
      {DROP_NEIGHBOUR,
       [&] { return node.from_pod("web", neighbour_solicitation("fd00::5", "fd00::6", node.mac("web"))); }},
      {DROP_NO_BACKEND,
       [&] { return node.service("10.96.0.1:80", 6, {}).from_pod("web", tcp("10.0.0.5:1", "10.96.0.1:80", "S")); }},
      {DROP_NO_LOCAL_BACKEND,
       [&] {
         node.service("10.96.0.2:80", 6, {}, {.flags = SERVICE_DROP_INSIDE});
         return node.from_pod("web", tcp("10.0.0.5:1", "10.96.0.2:80", "S"));
       }},
      {DROP_SOURCE_RANGE,
       [&] {
         node.service("10.96.0.3:80", 6, {"10.0.0.6:80"}, {.source_ranges = {"10.0.0.9"}});
         return node.from_pod("web", tcp("10.0.0.5:1", "10.96.0.3:80", "S"));
       }},
      {DROP_TUPLE_IN_USE,
       [&] {
         node.service("10.96.0.4:80", 6, {"10.0.0.6:80"}, {.id = 2});
         node.from_pod("web", tcp("10.0.0.5:2", "10.96.0.4:80", "S"));
         return node.from_pod("web", tcp("10.0.0.5:2", "10.0.0.6:80", "S"));
       }},
      {DROP_POLICY_EGRESS,
       [&] {
         node.pod_policy("web", 256, 99, 0);
         Outcome outcome = node.from_pod("web", udp("10.0.0.5:3", "10.0.0.6:53"));
         node.pod_policy("web", 256, 0, 0);
         return outcome;
       }},
      {DROP_POLICY_INGRESS,
       [&] {
         node.pod_policy("db", 257, 0, 99);
         Outcome outcome = node.from_pod("web", udp("10.0.0.5:3", "10.0.0.6:53"));
         node.pod_policy("db", 257, 0, 0);
         return outcome;
       }},
      {DROP_FOREIGN_TUNNEL, [&] { return node.from_overlay("web", udp("10.0.0.99:1", "10.0.0.5:1")); }},
      {DROP_NO_TUNNEL,
       [&] {
         node.known_address("10.9.0.0/16", 0, 0, 9);
         return node.from_pod("web", udp("10.0.0.5:1", "10.9.0.1:1"));
       }},
      {DROP_NO_PORT,
       [&] {
         node.from_pod("web", udp("10.0.0.5:20000", "198.51.100.9:443"));
         return node.from_pod("web", udp("10.0.0.5:20001", "198.51.100.9:443"));
       }},
      {DROP_NO_UPLINK, [&] { return asks_node_port("127.0.0.1:80"); }},
      {DROP_NO_SOURCE, [&] { return node.from_pod("web", udp("[fd00::5]:5", "[2001:db8:9::9]:53")); }},
      {DROP_DENIED_SOURCE,
       [&] {
         node.deny("198.51.100.8/32");
         return node.from_uplink("up", udp("198.51.100.8:50000", "192.0.2.1:22"));
       }},
      {DROP_NODE_BACKEND,
       [&] {
         node.known_address("192.0.2.1", IDENTITY_HOST);
         return asks_node_port("192.0.2.1:80");
       }},
      {DROP_NOT_NODES_OWN, [&] { return node.to_overlay("web", udp("10.0.0.6:1", "10.9.0.1:1")); }},
      {DROP_SOURCE_FORGED, [&] { return node.from_uplink("up", udp("10.0.0.6:1", "10.0.0.5:1")); }},
      {DROP_REWRITE, [&] { return node.from_pod("web", plain.vlan(0).cut_to(16)); }},  // a tag, and no type behind it
  };
  // DROP_INTERNAL stands for "cannot be": element 0 of an array is always there.
  const std::map<drop_reason, std::string> out_of_reach = {
      {DROP_INTERNAL, "the maps it is about have all their elements"},
      {DROP_FOREIGN_VNI, "a test run has no tunnel: tests/e2e/overlay_test.cpp"},
      {DROP_NO_SUCH_POD, "a test run has no tunnel: tests/e2e/overlay_test.cpp"},
      {DROP_FLOW_TABLE, "an LRU makes room; refusal_test.cpp has a table that does not"}};
#define X(number, name, text) CHECK_MESSAGE(rows.contains(DROP_##name) != out_of_reach.contains(DROP_##name), #name);
  SLUICE_DROP_REASONS(X)
#undef X
  for (const auto& [reason, run] : rows) {
    CAPTURE(reason);
    const bool outside = reason == DROP_NO_UPLINK || reason == DROP_NODE_BACKEND || reason == DROP_SOURCE_FORGED ||
                         reason == DROP_DENIED_SOURCE;
    const hook hook = reason == DROP_NOT_THIS_POD     ? HOOK_TO_POD
                      : reason == DROP_FOREIGN_TUNNEL ? HOOK_FROM_OVERLAY
                      : reason == DROP_NOT_NODES_OWN  ? HOOK_TO_OVERLAY
                      : outside                       ? HOOK_FROM_UPLINK
                                                      : HOOK_FROM_POD;
    const metric before = node.metric(reason, hook);
    const Outcome outcome = run();
    CHECK(outcome.verdict.reason == reason);
    CHECK(outcome.problems.empty());
    const metric after = node.metric(reason, hook);
    CHECK(after.packets == before.packets + 1);
    CHECK(after.bytes == before.bytes + outcome.sent.size());
  }
}
