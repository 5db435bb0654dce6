// Fragments: the first has the ports, the later ones follow it.
#include <doctest/doctest.h>

#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

void two_pods(Datapath& node) { node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6"); }

}  // namespace

TEST_CASE("later fragments follow their first one into its flow") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node);
    const auto web = family.at(family.web, 999), db = family.at(family.db, 53);
    const struct {
      std::string_view name;
      Packet whole;
    } rows[] = {{"UDP", udp(web, db)},
                {"TCP", tcp(web, db)},
                {"SCTP", sctp(web, db)},
                {"echo", ping(family.web, family.db, 5)},
                {"other", other(family.web, family.db, 47)}};
    std::uint32_t id = 100;
    for (const auto& row : rows) {
      CAPTURE(row.name);
      id++;
      const Packet part = row.whole.payload(64);
      CHECK(node.from_pod("web", part.fragment(id, 0)) == delivered_to("db"));
      CHECK(node.from_pod("web", part.fragment(id, 128)) == delivered_to("db"));
      CHECK(node.from_pod("web", part.fragment(id, 64)) == delivered_to("db"));
      CHECK(node.from_pod("web", part.fragment(id, 192, false)) == delivered_to("db"));
      CHECK(node.flow(row.whole)->half().packets == 4);
    }
    CHECK(node.flows().size() == 5);
    CHECK(node.counter(COUNTER_FRAGMENT_INSERT_FAILED) == 0);
  }
}

TEST_CASE("a later fragment without its first is dropped with a reason of its own") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node);
    const Packet part = udp(family.at(family.web, 999), family.at(family.db, 53)).payload(64);
    const Packet there = part.fragment(7, 64, false);
    CHECK(node.from_pod("web", there) == dropped(DROP_FRAGMENT_UNKNOWN));
    REQUIRE(node.from_pod("web", part.fragment(7, 0)) == delivered_to("db"));
    CHECK(node.from_pod("web", there) == delivered_to("db"));
    CHECK(node.from_pod("web", part.fragment(8, 64, false)) == dropped(DROP_FRAGMENT_UNKNOWN));
    const Packet back = udp(family.at(family.db, 53), family.at(family.web, 999)).payload(64);
    CHECK(node.from_pod("db", back.fragment(7, 64, false)) == dropped(DROP_FRAGMENT_UNKNOWN));
    CHECK(node.to_pod("db", there) == dropped(DROP_FRAGMENT_UNKNOWN));
  }
  Datapath node;
  two_pods(node);
  REQUIRE(node.from_pod("web", udp("10.0.0.5:1", "10.0.0.6:2").payload(64).fragment(7, 0)) == delivered_to("db"));
  // IPv4 tells fragments of different protocols apart (RFC 791, 3.2).
  CHECK(node.from_pod("web", tcp("10.0.0.5:1", "10.0.0.6:2").payload(64).fragment(7, 64)) ==
        dropped(DROP_FRAGMENT_UNKNOWN));
}

TEST_CASE("a pod cannot give ports to another pod's fragments") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node);
    node.pod("thief", "10.0.0.7", "fd00::7");
    const Packet part = udp(family.at(family.web, 999), family.at(family.db, 53)).payload(64);
    const Packet forged = udp(family.at(family.web, 1), family.at(family.db, 1)).payload(64);
    REQUIRE(node.from_pod("web", part.fragment(7, 0)) == delivered_to("db"));
    CHECK(node.from_pod("thief", forged.fragment(7, 0)) == dropped(DROP_SOURCE_SPOOFED));
    CHECK(node.from_pod("web", part.fragment(7, 64, false)) == delivered_to("db"));
    CHECK(node.flow(part)->half().packets == 2);
    CHECK_FALSE(node.flow(forged));
  }
}

TEST_CASE("a first fragment has all of its header") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node);
    const Packet first = tcp(family.at(family.web, 999), family.at(family.db, 53)).fragment(7, 0);
    const std::size_t head = 14 + (family.v4 ? 20 : 48);
    CHECK(node.from_pod("web", first.cut_to(head + 16)) == dropped(DROP_PARSE_SHORT));
    CHECK(node.from_pod("web", first.cut_to(head + 20)) == delivered_to("db"));
  }
}

TEST_CASE("fragments from the stack reach the pod") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node);
    const Packet part = udp(family.at(family.world, 999), family.at(family.web, 53)).payload(64);
    CHECK(node.to_pod("web", part.fragment(7, 64, false)) == dropped(DROP_FRAGMENT_UNKNOWN));
    CHECK(node.to_pod("web", part.fragment(7, 0)) == to_stack());
    CHECK(node.to_pod("web", part.fragment(7, 64, false)) == to_stack());
    CHECK(node.flow(part)->half().packets == 2);
  }
}

TEST_CASE("an IPv6 packet that is whole in one fragment is none") {
  Datapath node;
  two_pods(node);
  const Packet atomic = udp("[fd00::5]:999", "[fd00::6]:53").fragment(7, 0, false);
  CHECK(node.from_pod("web", atomic) == delivered_to("db"));
  CHECK(node.from_pod("web", atomic.fragment(7, 64, false)) == dropped(DROP_FRAGMENT_UNKNOWN));
  CHECK(node.from_pod("web", atomic.fragment(8, 0).extension(60)) == delivered_to("db"));
  CHECK(node.flows().size() == 1);
}
