// A table that refuses an entry: no packet is lost without a word, and what happened is counted.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

const Packet kFirst = udp("10.0.0.5:1", "10.0.0.6:1");  // takes the only place

void two_pods(Datapath& node) { node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6"); }

}  // namespace

TEST_CASE("a flow that cannot be written down is delivered all the same, and each packet of it decided anew") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node({.flows = 1, .full_refuses = true});
    two_pods(node);
    REQUIRE(node.from_pod("web", kFirst) == delivered_to("db"));
    const Packet sent = tcp(family.at(family.web, 999), family.at(family.db, 80), "S");
    const Bytes frame = sent.frame(node.mac("web"), sluice::loader::kHostMac);
    for (unsigned packets = 1; packets <= 3; packets++) {
      const Outcome outcome = node.from_pod("web", frame);
      CHECK(outcome == delivered_to("somebody"));
      CHECK(outcome.got == sent.ttl(63).frame(sluice::loader::kHostMac, node.mac("db")));
      CHECK(node.counter(COUNTER_FLOW_INSERT_FAILED) == packets);
      CHECK(node.counter(COUNTER_FLOW_INSERT_RETRIED) == 3 * packets);
      CHECK(node.counter(COUNTER_FLOW_CREATED) == 1);
    }
    CHECK(node.flows().size() == 1);
    REQUIRE(node.from_pod("db", udp("10.0.0.6:1", "10.0.0.5:1")) == delivered_to("web"));  // the known flow goes on
  }
}

TEST_CASE(
    "a translated connection that cannot be written down is dropped, since nobody could answer it, and leaves "
    "nothing") {
  const Packet sent = udp("10.0.0.5:999", "10.96.0.1:53");
  for (const bool half_fits : {false, true}) {
    CAPTURE(half_fits);
    Datapath node({.flows = half_fits ? 2U : 1U, .full_refuses = true});
    two_pods(node);
    node.service("10.96.0.1:53", 17, {"10.0.0.6:53"});
    REQUIRE(node.from_pod("web", kFirst) == delivered_to("db"));
    for (unsigned packets = 1; packets <= 2; packets++) {
      CHECK(node.from_pod("web", sent) == dropped(DROP_FLOW_TABLE));
      CHECK(node.counter(COUNTER_FLOW_INSERT_FAILED) == packets);
      CHECK(node.counter(COUNTER_FLOW_INSERT_RETRIED) == 3 * packets);
      CHECK(node.flows().size() == 1);
    }
    CHECK(node.counter(COUNTER_FLOW_CREATED) == 1);
  }
}

TEST_CASE("a first fragment whose ports cannot be kept is delivered, and the loss counted") {
  Datapath node({.fragments = 1, .full_refuses = true});
  two_pods(node);
  const Packet whole = udp("10.0.0.5:999", "10.0.0.6:53").payload(64);
  REQUIRE(node.from_pod("web", whole.fragment(1, 0)) == delivered_to("db"));
  CHECK(node.counter(COUNTER_FRAGMENT_INSERT_FAILED) == 0);
  CHECK(node.from_pod("web", whole.fragment(2, 0)) == delivered_to("db"));
  CHECK(node.counter(COUNTER_FRAGMENT_INSERT_FAILED) == 1);
  CHECK(node.from_pod("web", whole.fragment(1, 72, false)) == delivered_to("db"));
  CHECK(node.from_pod("web", whole.fragment(2, 72, false)) == dropped(DROP_FRAGMENT_UNKNOWN));
}
