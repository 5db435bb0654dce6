// What observers see: each its own events, by its own filter, from its own ring buffer.
#include <doctest/doctest.h>

#include "maps/address.hpp"
#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

constexpr std::uint32_t kNew = 1U << EVENT_NEW, kClosed = 1U << EVENT_CLOSED, kDropped = 1U << EVENT_DROPPED,
                        kPacket = 1U << EVENT_PACKET, kAll = kNew | kClosed | kDropped | kPacket;

void two_pods(Datapath& node) { node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6"); }

std::string address(const addr& wire) { return sluice::Address(wire).text(); }

std::uint64_t seconds(std::uint64_t count) { return count * 1'000'000'000; }

}  // namespace

TEST_CASE("a new flow, each of its packets, a drop and the end of a connection are events") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node);
    node.observe(3, {.events = kAll});
    const auto web = family.at(family.web, 999), db = family.at(family.db, 80);
    REQUIRE(node.from_pod("web", tcp(web, db, "S")) == delivered_to("db"));
    REQUIRE(node.from_pod("db", tcp(db, web, "SA").payload(10)) == delivered_to("web"));
    REQUIRE(node.from_pod("web", tcp(web, db, "FA")) == delivered_to("db"));
    REQUIRE(node.from_pod("web", tcp(family.at(family.db, 1), web)) == dropped(DROP_SOURCE_SPOOFED));
    REQUIRE(node.from_pod("db", tcp(db, web, "FA")) == delivered_to("web"));
    const auto events = node.events(3);
    REQUIRE(events.size() == 7);
    const unsigned char types[] = {EVENT_NEW,     EVENT_PACKET, EVENT_PACKET, EVENT_PACKET,
                                   EVENT_DROPPED, EVENT_CLOSED, EVENT_PACKET};
    for (std::size_t i = 0; i < events.size(); i++) {
      CAPTURE(i);
      CHECK(events[i].type == types[i]);
      CHECK(events[i].hook == HOOK_FROM_POD);
      CHECK(events[i].proto == 6);
      CHECK(events[i].time_ns > (i == 0 ? 0 : events[i - 1].time_ns));
      CHECK(events[i].reason == (types[i] == EVENT_DROPPED ? DROP_SOURCE_SPOOFED : DROP_NONE));
    }
    const std::uint32_t head = 14 + (family.v4 ? 20 : 40) + 20;
    const flow_event &opened = events[0], &answer = events[2], &lost = events[4], &closed = events[5];
    CHECK(address(opened.src) == family.web);
    CHECK(address(opened.dst) == family.db);
    CHECK(opened.sport.to_host() == 999);
    CHECK(opened.dport.to_host() == 80);
    CHECK(opened.ifindex == node.ifindex("web"));
    CHECK(opened.egress_ifindex == node.ifindex("db"));
    CHECK(opened.delivery == FLOW_TO_PEER);
    CHECK(opened.length == head);
    CHECK(opened.tcp_flags == TCP_FLAG_SYN_BIT);
    CHECK(address(answer.src) == family.db);
    CHECK(answer.sport.to_host() == 80);
    CHECK(answer.ifindex == node.ifindex("db"));
    CHECK(answer.egress_ifindex == node.ifindex("web"));
    CHECK(answer.length == head + 10);
    CHECK(address(lost.src) == family.db);
    CHECK(lost.sport.to_host() == 1);
    CHECK(lost.ifindex == node.ifindex("web"));
    CHECK(lost.egress_ifindex == 0);
    CHECK(address(closed.src) == family.web);  // who opened it, whoever closed it
    CHECK(closed.sport.to_host() == 999);
    CHECK(closed.dport.to_host() == 80);
    CHECK(closed.packets[0] == 2);
    CHECK(closed.packets[1] == 1);
    CHECK(closed.bytes[0] == 2 * (head - 14));
    CHECK(closed.bytes[1] == head - 14 + 10);
    CHECK((closed.tcp_flags & TCP_FLAG_FIN_BIT) != 0);
  }
}

TEST_CASE("a flow that is replaced has ended, once") {
  const std::uint32_t wanted = kNew | kClosed;
  Settings settings;
  settings.timeouts.fill(std::chrono::seconds(2));
  Datapath node(settings);
  two_pods(node);
  node.observe(0, {.events = wanted});
  const Packet there = tcp("10.0.0.5:999", "10.0.0.6:80", "S"), back = tcp("10.0.0.6:80", "10.0.0.5:999", "A");
  const auto types = [&] {
    std::string text;
    for (const flow_event& event : node.events(0)) text += event.type == EVENT_NEW ? 'n' : 'c';
    return text;
  };
  REQUIRE(node.from_pod("web", there) == delivered_to("db"));
  CHECK(types() == "n");
  SUBCASE("by a SYN while it is closing") {
    REQUIRE(node.from_pod("web", there.flags("FA")) == delivered_to("db"));
    CHECK(types().empty());
    REQUIRE(node.from_pod("web", there) == delivered_to("db"));
    CHECK(types() == "cn");
  }
  SUBCASE("by a SYN after it was reset") {
    REQUIRE(node.from_pod("db", back.flags("R")) == delivered_to("web"));
    CHECK(types() == "c");
    REQUIRE(node.from_pod("web", there) == delivered_to("db"));
    CHECK(types() == "n");
  }
  SUBCASE("after its time-out") {
    node.age(there, 3);
    REQUIRE(node.from_pod("web", there) == delivered_to("db"));
    CHECK(types() == "cn");
  }
  SUBCASE("after its time-out, with a stale decision") {
    node.age(there, 3);
    node.new_epoch();
    REQUIRE(node.from_pod("web", there) == delivered_to("db"));
    CHECK(types() == "cn");
  }
}

TEST_CASE("events from the host's side say so") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node);
    node.observe(0, {.events = kAll});
    REQUIRE(node.to_pod("web", udp(family.at(family.host, 1), family.at(family.web, 2))) == to_stack());
    REQUIRE(node.to_pod("web", udp(family.at(family.host, 1), family.at(family.db, 2))) == dropped(DROP_NOT_THIS_POD));
    const auto events = node.events(0);
    REQUIRE(events.size() == 3);
    for (const flow_event& event : events) {
      CHECK(event.hook == HOOK_TO_POD);
      CHECK(event.ifindex == node.ifindex("web"));
      CHECK(address(event.src) == family.host);
    }
    CHECK(events[0].delivery == FLOW_TO_STACK);
  }
}

TEST_CASE("a filter lets through what it asks for, in the kernel") {
  Datapath node;
  two_pods(node);
  const auto mask = [](unsigned bits) {
    addr wire{};
    for (unsigned i = 0; i < bits; i++)
      reinterpret_cast<unsigned char*>(&wire)[i / 8] |= static_cast<unsigned char>(0x80U >> i % 8);
    return wire;
  };
  const auto of = [](const char* text) { return SocketAddress(text).address.wire(); };
  const struct {
    std::string_view name;
    observer_filter filter;
    std::size_t events;
  } rows[] = {
      {"all new", {.events = kNew}, 4},
      {"all dropped", {.events = kDropped}, 2},
      {"nothing", {.events = 0}, 0},
      {"every type", {.events = kAll}, 4 + 4 + 2},
      {"UDP", {.events = kAll, .proto = 17}, 6},
      {"TCP", {.events = kAll, .proto = 6}, 4},
      {"a source port", {.events = kNew, .port = be16::from_host(999)}, 2},
      {"a destination port", {.events = kNew, .port = be16::from_host(53)}, 2},
      {"a port of nobody", {.events = kNew, .port = be16::from_host(54)}, 0},
      {"a reason", {.events = kDropped, .reason = DROP_SOURCE_SPOOFED}, 1},
      {"an address", {.address = of("10.0.0.5"), .mask = mask(128), .events = kNew}, 2},
      {"an address as the destination", {.address = of("10.0.0.6"), .mask = mask(128), .events = kNew}, 2},
      {"an IPv6 block", {.address = of("fd00::"), .mask = mask(64), .events = kNew}, 2},
      {"an IPv4 block", {.address = of("10.0.0.0"), .mask = mask(96 + 24), .events = kNew}, 2},
      {"another IPv4 block", {.address = of("10.0.1.0"), .mask = mask(96 + 24), .events = kNew}, 0},
      {"where it came in", {.events = kNew, .ifindex = node.ifindex("web")}, 4},
      {"where it leaves", {.events = kNew, .ifindex = node.ifindex("db")}, 4},
      {"an interface without traffic", {.events = kNew, .ifindex = 1}, 0},
      {"a lease that is over", {.lease_ns = 1, .events = kAll}, 0},
      {"all of it together",
       {.address = of("10.0.0.5"),
        .mask = mask(128),
        .events = kNew,
        .ifindex = node.ifindex("web"),
        .port = be16::from_host(53),
        .proto = 17},
       1},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    Datapath own;
    two_pods(own);
    own.observe(0, row.filter);
    REQUIRE(own.from_pod("web", udp("10.0.0.5:999", "10.0.0.6:53")) == delivered_to("db"));
    REQUIRE(own.from_pod("web", udp("[fd00::5]:999", "[fd00::6]:53")) == delivered_to("db"));
    REQUIRE(own.from_pod("web", tcp("10.0.0.5:1000", "10.0.0.6:80", "S")) == delivered_to("db"));
    REQUIRE(own.from_pod("web", tcp("[fd00::5]:1000", "[fd00::6]:80", "S")) == delivered_to("db"));
    REQUIRE(own.from_pod("web", udp("10.0.0.7:5", "10.0.0.6:6")) == dropped(DROP_SOURCE_SPOOFED));
    REQUIRE(own.from_pod("web", udp("10.0.0.5:5", "224.0.0.1:6")) == dropped(DROP_NOT_UNICAST));
    CHECK(own.events(0).size() == row.events);
  }
}

TEST_CASE("observers do not take events from each other, and a full one loses only its own") {
  Datapath node;
  two_pods(node);
  node.observe(0, {.events = kPacket}, 4096);
  node.observe(7, {.events = kPacket}, 1 << 16);
  node.observe(4, {.events = kDropped});
  const Packet sent = udp("10.0.0.5:999", "10.0.0.6:53");
  constexpr unsigned kSent = 200;
  for (unsigned i = 0; i < kSent; i++) REQUIRE(node.from_pod("web", sent) == delivered_to("db"));
  const std::size_t seen = node.events(0).size();
  CHECK(seen > 0);
  CHECK(seen < kSent);
  CHECK(node.filter(0).lost == kSent - seen);
  CHECK(node.counter(COUNTER_EVENT_LOST) == kSent - seen);
  CHECK(node.events(7).size() == kSent);
  CHECK(node.filter(7).lost == 0);
  CHECK(node.events(4).empty());
}

TEST_CASE("an observer of new flows costs the packets of known ones no event") {
  Datapath node;
  two_pods(node);
  node.observe(0, {.lease_ns = 0, .events = kNew | kDropped | kClosed});
  for (int i = 0; i < 10; i++) REQUIRE(node.from_pod("web", udp("10.0.0.5:999", "10.0.0.6:53")) == delivered_to("db"));
  CHECK(node.events(0).size() == 1);
  CHECK(node.filter(0).lease_ns > seconds(3000));
}
