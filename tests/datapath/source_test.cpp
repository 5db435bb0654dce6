// Who may send what: addresses, MAC addresses, and destinations that do not leave a pod.
#include <doctest/doctest.h>

#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

TEST_CASE("a pod can only send from its own address") {
  Datapath node;
  node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6").pod("cache", "10.0.0.7", "fd00::7");
  const struct {
    std::string_view name;
    Packet sent;
    Verdict want;
  } rows[] = {
      {"its own", udp("10.0.0.5:999", "10.0.0.6:53"), delivered_to("db")},
      {"its own, IPv6", udp("[fd00::5]:999", "[fd00::6]:53"), delivered_to("db")},
      {"another pod's", udp("10.0.0.7:999", "10.0.0.6:53"), dropped(DROP_SOURCE_SPOOFED)},
      {"another pod's, IPv6", udp("[fd00::7]:999", "[fd00::6]:53"), dropped(DROP_SOURCE_SPOOFED)},
      {"the receiver's", udp("10.0.0.6:999", "10.0.0.6:53"), dropped(DROP_SOURCE_SPOOFED)},
      {"nobody's", udp("192.0.2.99:999", "10.0.0.6:53"), dropped(DROP_SOURCE_SPOOFED)},
      {"none", udp("0.0.0.0:68", "10.0.0.6:67"), dropped(DROP_SOURCE_SPOOFED)},
      {"none, IPv6", udp("[::]:546", "[fd00::6]:547"), dropped(DROP_SOURCE_SPOOFED)},
      {"its own IPv4 address inside IPv6", udp("10.0.0.5:999", "10.0.0.6:53").ethertype(0x86dd),
       dropped(DROP_IP_HEADER)},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CHECK(node.from_pod("web", row.sent) == row.want);
  }
}

TEST_CASE("a pod cannot ride on another pod's flow") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6").pod("thief", "10.0.0.7", "fd00::7");
    const Packet sent = tcp(family.at(family.web, 999), family.at(family.db, 80));
    REQUIRE(node.from_pod("web", sent) == delivered_to("db"));
    CHECK(node.from_pod("thief", sent.flags("R")) == dropped(DROP_SOURCE_SPOOFED));
    CHECK(node.from_pod("thief", sent.flags("R").from_mac("02:00:00:00:00:01")) == dropped(DROP_SOURCE_SPOOFED));
    const auto flow = node.flow(sent);
    REQUIRE(flow);
    CHECK(flow->half().packets == 1);
    CHECK((flow->half().tcp_flags & TCP_FLAG_RST_BIT) == 0);
  }
}

TEST_CASE("a frame has the pod's MAC address and goes to its gateway's") {
  for (const Family& family : kFamilies) SUBCASE(family.name.data()) {
      Datapath node;
      node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6");
      const Packet sent = tcp(family.at(family.web, 999), family.at(family.db, 80));
      const Packet forged = sent.flags("R").from_mac("02:00:00:00:00:02"),
                   astray = sent.flags("R").to_mac("02:00:00:00:00:02");
      SUBCASE("for a flow that is not known") {
        CHECK(node.from_pod("web", forged) == dropped(DROP_SOURCE_MAC));
        CHECK(node.from_pod("web", astray) == dropped(DROP_NOT_TO_GATEWAY));
        CHECK_FALSE(node.flow(sent));
      }
      SUBCASE("for a flow that is known, on which it leaves no trace") {
        REQUIRE(node.from_pod("web", sent) == delivered_to("db"));
        CHECK(node.from_pod("web", forged) == dropped(DROP_SOURCE_MAC));
        CHECK(node.from_pod("web", astray) == dropped(DROP_NOT_TO_GATEWAY));
        CHECK(node.flow(sent)->half().packets == 1);
        CHECK(node.flow(sent)->half().tcp_flags == TCP_FLAG_ACK_BIT);
      }
    }
}

TEST_CASE("what is for more than one receiver, or for the link alone, does not leave a pod") {
  Datapath node;
  node.pod("web", "10.0.0.5", "fd00::5");
  const struct {
    std::string_view name;
    Packet sent;
    Verdict want;
  } rows[] = {
      {"multicast", udp("10.0.0.5:5353", "224.0.0.251:5353"), dropped(DROP_NOT_UNICAST)},
      {"the last of multicast", udp("10.0.0.5:1", "239.255.255.255:1"), dropped(DROP_NOT_UNICAST)},
      {"multicast, IPv6", udp("[fd00::5]:5353", "[ff02::fb]:5353"), dropped(DROP_NOT_UNICAST)},
      {"multicast of global scope", udp("[fd00::5]:1", "[ff0e::1]:1"), dropped(DROP_NOT_UNICAST)},
      {"broadcast", udp("10.0.0.5:68", "255.255.255.255:67"), dropped(DROP_NOT_UNICAST)},
      {"this network", udp("10.0.0.5:1", "0.0.0.0:1"), dropped(DROP_NOT_UNICAST)},
      {"nobody, IPv6", udp("[fd00::5]:1", "[::]:1"), dropped(DROP_NOT_UNICAST)},
      {"the last unicast address before multicast", udp("10.0.0.5:1", "223.255.255.255:1"), to_stack()},
      {"link-local, IPv6", udp("[fd00::5]:1", "[fe80::1]:1"), dropped(DROP_LINK_LOCAL)},
      {"from link-local", udp("[fe80::5]:1", "[fd00::6]:1"), dropped(DROP_LINK_LOCAL)},
      {"the last link-local", udp("[fd00::5]:1", "[febf::1]:1"), dropped(DROP_LINK_LOCAL)},
      {"just past link-local", udp("[fd00::5]:1", "[fec0::1]:1"), to_stack()},
      {"IPv4 link-local, where clouds have their metadata", tcp("10.0.0.5:1", "169.254.169.254:80"), to_stack()},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CHECK(node.from_pod("web", row.sent) == row.want);
  }
}

TEST_CASE("a pod gets only what is for it") {
  Datapath node;
  node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6");
  const struct {
    std::string_view name;
    Packet sent;
    Verdict want;
  } rows[] = {
      {"its own", udp("192.0.2.1:1", "10.0.0.5:53"), to_stack()},
      {"its own, IPv6", udp("[2001:db8::1]:1", "[fd00::5]:53"), to_stack()},
      {"another pod's", udp("192.0.2.1:1", "10.0.0.6:53"), dropped(DROP_NOT_THIS_POD)},
      {"another pod's, IPv6", udp("[2001:db8::1]:1", "[fd00::6]:53"), dropped(DROP_NOT_THIS_POD)},
      {"nobody's", udp("192.0.2.1:1", "10.9.9.9:53"), dropped(DROP_NOT_THIS_POD)},
      {"multicast", udp("192.0.2.1:1", "224.0.0.1:53"), dropped(DROP_NOT_UNICAST)},
      {"multicast, IPv6", udp("[2001:db8::1]:1", "[ff02::1]:53"), dropped(DROP_NOT_UNICAST)},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CHECK(node.to_pod("web", row.sent) == row.want);
  }
  CHECK(node.to_pod("web", arp_request(node.mac("db"), sluice::Address(), SocketAddress("10.0.0.5").address)) ==
        dropped(DROP_NOT_IP));
}
