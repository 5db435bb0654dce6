// Which way a packet goes: to a pod of this node, through its qdisc, to the stack; and what a change does to that.
#include <doctest/doctest.h>

#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

TEST_CASE("a packet between pods of one node is delivered, and both directions are written down at once") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    node.pod("web", "10.0.0.5", "fd00::5", {.mtu = 1400}).pod("db", "10.0.0.6", "fd00::6", {.mtu = 1300});
    const Packet sent = udp(family.at(family.web, 999), family.at(family.db, 53));
    REQUIRE(node.from_pod("web", sent) == delivered_to("db"));
    const auto flow = node.flow(sent);
    REQUIRE(flow);
    const flow_half &there = flow->half(), &back = flow->back();
    CHECK(there.origin == node.ifindex("web"));
    CHECK(there.egress_ifindex == node.ifindex("db"));
    CHECK(there.mtu == 1300);
    CHECK(there.delivery == FLOW_TO_PEER);
    CHECK(there.packets == 1);
    CHECK(there.bytes == sent.ip().size());
    CHECK(there.last_seen_ns != 0);
    CHECK(there.last_seen_ns == flow->entry.created_ns);
    CHECK(back.origin == node.ifindex("db"));
    CHECK(back.egress_ifindex == node.ifindex("web"));
    CHECK(back.mtu == 1400);
    CHECK(back.delivery == FLOW_TO_PEER);
    CHECK(back.packets == 0);
    CHECK(back.last_seen_ns == 0);
    CHECK(there.epoch == back.epoch);
    CHECK(node.counter(COUNTER_FLOW_CREATED) == 1);
  }
}

TEST_CASE("established packets count on, in their own half, and decide nothing") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6");
    const Packet there = udp(family.at(family.web, 999), family.at(family.db, 53));
    const Packet back = udp(family.at(family.db, 53), family.at(family.web, 999)).payload(500);
    for (int i = 0; i < 5; i++) CHECK(node.from_pod("web", there) == delivered_to("db"));
    for (int i = 0; i < 3; i++) CHECK(node.from_pod("db", back) == delivered_to("web"));
    const auto flow = node.flow(there);
    CHECK(flow->half().packets == 5);
    CHECK(flow->half().bytes == 5 * there.ip().size());
    CHECK(flow->back().packets == 3);
    CHECK(flow->back().bytes == 3 * back.ip().size());
    CHECK(node.counter(COUNTER_FLOW_CREATED) == 1);
    CHECK(node.counter(COUNTER_FLOW_REDECIDED) == 0);
    const metric counted = node.metric(DROP_NONE, HOOK_FROM_POD);
    CHECK(counted.packets == 8);
    CHECK(counted.bytes == 5 * (14 + there.ip().size()) + 3 * (14 + back.ip().size()));
  }
}

TEST_CASE("a pod reaches the world and the host through the stack, and gets the answers from there") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6");
    for (const std::string far : {family.world, family.host}) {
      CAPTURE(far);
      const Packet there = tcp(family.at(family.web, 999), family.at(far.c_str(), 443), "S");
      const Packet back = tcp(family.at(far.c_str(), 443), family.at(family.web, 999), "SA");
      CHECK(node.from_pod("web", there) == to_stack());
      CHECK(node.to_pod("web", back) == to_stack());
      const auto flow = node.flow(there);
      REQUIRE(flow);
      CHECK(flow->half().origin == node.ifindex("web"));
      CHECK(flow->half().delivery == FLOW_TO_STACK);
      CHECK(flow->back().origin == (node.ifindex("web") | FLOW_ORIGIN_HOST));
      CHECK(flow->back().packets == 1);
      CHECK(flow->entry.initiator == flow->dir);
      // The stack counts hops and fragments by itself.
      CHECK(node.from_pod("web", there.ttl(1).payload(2000)) == to_stack());
    }
    CHECK(node.counter(COUNTER_FLOW_CREATED) == 2);
  }
}

TEST_CASE("the host reaches a pod, and the pod answers") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    node.pod("web", "10.0.0.5", "fd00::5");
    const Packet there = tcp(family.at(family.host, 999), family.at(family.web, 80), "S");
    const Packet back = tcp(family.at(family.web, 80), family.at(family.host, 999), "SA");
    CHECK(node.to_pod("web", there) == to_stack());
    CHECK(node.from_pod("web", back) == to_stack());
    const auto flow = node.flow(there);
    REQUIRE(flow);
    CHECK(flow->entry.initiator == flow->dir);
    CHECK(flow->half().packets == 1);
    CHECK(flow->back().packets == 1);
    CHECK(node.counter(COUNTER_FLOW_CREATED) == 1);
    CHECK(node.metric(DROP_NONE, HOOK_TO_POD).packets == 1);
    CHECK(node.metric(DROP_NONE, HOOK_FROM_POD).packets == 1);
  }
}

TEST_CASE("a shaped pod gets its packets through its qdisc, where they are counted no second time") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6", {.shaped = true});
    const Packet there = udp(family.at(family.web, 999), family.at(family.db, 53));
    const Packet back = udp(family.at(family.db, 53), family.at(family.web, 999));
    CHECK(node.from_pod("web", there) == through_qdisc_of("db"));
    CHECK(node.to_pod("db", there.ttl(63)) == to_stack());
    CHECK(node.metric(DROP_NONE, HOOK_TO_POD).packets == 0);
    CHECK(node.from_pod("db", back) == delivered_to("web"));
    CHECK(node.flow(there)->half().packets == 1);
    CHECK(node.counter(COUNTER_FLOW_CREATED) == 1);
  }
}

TEST_CASE("pods that go through the stack do so in both directions, whichever of them asks for it") {
  for (const Family& family : kFamilies) {
    for (const bool sender : {true, false}) {
      CAPTURE(family.name);
      CAPTURE(sender);
      Datapath node;
      node.pod("web", "10.0.0.5", "fd00::5", {.through_stack = sender});
      node.pod("db", "10.0.0.6", "fd00::6", {.through_stack = !sender});
      const Packet there = udp(family.at(family.web, 999), family.at(family.db, 53));
      const Packet back = udp(family.at(family.db, 53), family.at(family.web, 999));
      CHECK(node.from_pod("web", there) == to_stack());
      CHECK(node.to_pod("db", there) == to_stack());
      CHECK(node.from_pod("db", back) == to_stack());
      CHECK(node.to_pod("web", back) == to_stack());
      const auto flow = node.flow(there);
      CHECK(flow->half().packets == 1);
      CHECK(flow->back().packets == 1);
      CHECK(flow->half().egress_ifindex == node.ifindex("db"));
      CHECK(node.counter(COUNTER_FLOW_CREATED) == 1);
      CHECK(node.counter(COUNTER_FLOW_REDECIDED) == 0);
      CHECK(node.metric(DROP_NONE, HOOK_TO_POD).packets == 0);
    }
  }
}

TEST_CASE("a pod that the stack has translated to is answered the way that the question came") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6");
    // A host port: the stack sends web's packet on to db, with web's address as its source.
    const Packet question = tcp(family.at(family.web, 999), family.at(family.db, 80), "S");
    const Packet answer = tcp(family.at(family.db, 80), family.at(family.web, 999), "SA");
    CHECK(node.to_pod("db", question) == to_stack());
    CHECK(node.from_pod("db", answer) == to_stack());
    node.new_epoch();
    CHECK(node.from_pod("db", answer.flags("A")) == to_stack());
    CHECK(node.to_pod("db", question.flags("A")) == to_stack());
    CHECK(node.flow(question)->half().packets == 2);
    CHECK(node.flow(question)->back().packets == 2);
  }
}

TEST_CASE("a change is in force from the next packet on, and the connection keeps its counts") {
  for (const Family& family : kFamilies) SUBCASE(family.name.data()) {
      Datapath node;
      node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6");
      const Packet there = tcp(family.at(family.web, 999), family.at(family.db, 80));
      const Packet back = tcp(family.at(family.db, 80), family.at(family.web, 999));
      REQUIRE(node.from_pod("web", there) == delivered_to("db"));
      REQUIRE(node.from_pod("db", back) == delivered_to("web"));
      const auto created = node.flow(there)->entry.created_ns;

      SUBCASE("nothing that matters here") {
        node.new_epoch();
        CHECK(node.from_pod("web", there) == delivered_to("db"));
        CHECK(node.from_pod("db", back) == delivered_to("web"));
        CHECK(node.counter(COUNTER_FLOW_REDECIDED) == 1);  // both directions at once
        CHECK(node.flow(there)->half().packets == 2);
        CHECK(node.flow(there)->back().packets == 2);
        CHECK(node.flow(there)->entry.created_ns == created);
        CHECK(node.flow(there)->entry.initiator == node.flow(there)->dir);
      }
      SUBCASE("the receiver is shaped now") {
        node.pod("db", "10.0.0.6", "fd00::6", {.shaped = true});
        CHECK(node.from_pod("web", there) == through_qdisc_of("db"));
      }
      SUBCASE("the receiver has another MTU") {
        node.pod("db", "10.0.0.6", "fd00::6", {.mtu = 1300});
        CHECK(node.from_pod("web", there.dont_fragment().payload(1350)) == told_sender(DROP_TOO_BIG));
      }
      SUBCASE("the receiver is gone") {
        node.forget_pod("db");
        CHECK(node.from_pod("web", there) == to_stack());
        CHECK(node.from_pod("db", back) == dropped(DROP_SOURCE_SPOOFED));
      }
      SUBCASE("the sender is gone") {
        node.forget_pod("web");
        CHECK(node.from_pod("web", there) == dropped(DROP_SOURCE_SPOOFED));
      }
      SUBCASE("the receiver's address belongs to another pod") {
        node.forget_pod("db").pod("new", "10.0.0.6", "fd00::6");
        CHECK(node.from_pod("web", there) == delivered_to("new"));
        CHECK(node.from_pod("db", back) == dropped(DROP_SOURCE_SPOOFED));
        CHECK(node.from_pod("new", back) == delivered_to("web"));
      }
    }
}

TEST_CASE("a table that is full forgets whole connections and goes on") {
  Datapath node({.flows = 256});
  node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6");
  for (int port = 1000; port < 3000; port++) {
    const Family& family = kFamilies[port % 2];
    CAPTURE(port);
    const Packet there = udp(family.at(family.web, port), family.at(family.db, 53));
    REQUIRE(node.from_pod("web", there).verdict.kind == Verdict::kDelivered);
    REQUIRE(node.from_pod("db", udp(family.at(family.db, 53), family.at(family.web, port))) == delivered_to("web"));
  }
  const auto left = node.flows();
  CHECK(left.size() <= 256);
  CHECK(left.size() > 0);
  for (const flow_entry& entry : left) {
    CHECK(entry.half[0].packets == 1);
    CHECK(entry.half[1].packets == 1);
  }
  CHECK(node.counter(COUNTER_FLOW_INSERT_FAILED) == 0);
  CHECK(node.counter(COUNTER_FLOW_CREATED) >= 2000);
}
