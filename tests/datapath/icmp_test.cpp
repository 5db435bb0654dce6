// What a router owes to the sender of what it cannot forward, and ICMP errors that are about a flow.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

void two_pods(Datapath& node, std::uint16_t mtu = 1500) {
  node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6", {.mtu = mtu});
}

// Of the quoted packet as much as makes the error 576 (RFC 1812) or 1280 (RFC 4443) bytes long.
std::size_t quote_most(const Family& family) { return family.v4 ? 576 - 28 : 1280 - 48; }

Packet time_exceeded(const Family& family, const Packet& sent) {
  return icmp_about(family.host, family.web, family.v4 ? 11 : 3, 0, 0, sent, quote_most(family));
}

Packet too_big(const Family& family, const Packet& sent, std::uint32_t mtu) {
  return icmp_about(family.host, family.web, family.v4 ? 3 : 2, family.v4 ? 4 : 0, mtu, sent, quote_most(family));
}

// The frame as it goes back into the pod.
Bytes to_web(const Datapath& node, const Packet& packet) {
  return packet.frame(sluice::loader::kHostMac, node.mac("web"));
}

}  // namespace

TEST_CASE("a packet between pods has one hop less to live, and its sender is told of the last") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node);
    const auto web = family.at(family.web, 999), db = family.at(family.db, 53);
    const struct {
      std::string_view name;
      Packet sent;
      std::uint8_t hops;
      bool delivered;
    } rows[] = {
        {"255", udp(web, db), 255, true},
        {"2", udp(web, db), 2, true},
        {"1", udp(web, db), 1, false},
        {"0", udp(web, db), 0, false},
        {"TCP", tcp(web, db, "S"), 1, false},
        {"echo", ping(family.web, family.db), 1, false},
        {"SCTP", sctp(web, db), 1, false},
        {"odd length", udp(web, db).payload(33), 1, false},
        {"empty", udp(web, db).payload(0), 1, false},
        {"longer than is quoted", udp(web, db).payload(1400), 1, false},
        {"just what is quoted", udp(web, db).payload(quote_most(family) - (family.v4 ? 28 : 48)), 1, false},
        {"another protocol", other(family.web, family.db, 47), 1, false},
    };
    for (const auto& row : rows) {
      CAPTURE(row.name);
      const Packet sent = row.sent.ttl(row.hops);
      const auto before = node.counter(COUNTER_ICMP_ERROR_SENT);
      const Outcome outcome = node.from_pod("web", sent);
      if (row.delivered) {
        CHECK(outcome == delivered_to("db"));
        continue;
      }
      CHECK(outcome == told_sender(DROP_TTL_EXPIRED));
      CHECK(outcome.got == to_web(node, time_exceeded(family, sent)));
      CHECK(node.counter(COUNTER_ICMP_ERROR_SENT) == before + 1);
    }
  }
}

TEST_CASE("the checksum of IPv4's header follows the TTL for every value of it") {
  Datapath node;
  two_pods(node);
  for (unsigned ttl = 2; ttl < 256; ttl++)
    for (const unsigned port : {1U, 0x1234U, 0xfeffU, 0xffffU}) {
      CAPTURE(ttl);
      // The identification (bytes 18 and 19) moves the checksum through all of its range.
      Packet sent = udp("10.0.0.5:999", "10.0.0.6:53").ttl(static_cast<std::uint8_t>(ttl)).fragment(port, 0);
      CHECK(node.from_pod("web", sent) == delivered_to("db"));
    }
}

TEST_CASE("a packet that is larger than the receiver's MTU is not delivered, and its sender told the MTU") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node, 1300);
    const std::size_t head = family.v4 ? 28 : 48;
    const auto sized = [&](std::size_t size) {
      return udp(family.at(family.web, 999), family.at(family.db, 53)).payload(size - head).dont_fragment();
    };
    CHECK(node.from_pod("web", sized(1300)) == delivered_to("db"));
    const Outcome outcome = node.from_pod("web", sized(1301));
    CHECK(outcome == told_sender(DROP_TOO_BIG));
    CHECK(outcome.got == to_web(node, too_big(family, sized(1301), 1300)));
    CHECK(node.from_pod("web", sized(1500)) == told_sender(DROP_TOO_BIG));
    // The same way back is wider.
    CHECK(node.from_pod("db", udp(family.at(family.db, 53), family.at(family.web, 999)).payload(1400)) ==
          delivered_to("web"));
  }
}

TEST_CASE("an IPv4 packet that may be fragmented goes through the stack, which does it") {
  Datapath node;
  two_pods(node, 1300);
  const Packet large = udp("10.0.0.5:999", "10.0.0.6:53").payload(1400);
  CHECK(node.from_pod("web", large) == to_stack());
  // And from the stack the fragments come to the pod's interface.
  CHECK(node.to_pod("db", large.payload(1280 - 8).fragment(77, 0)) == to_stack());
  CHECK(node.to_pod("db", large.payload(128).fragment(77, 1280, false)) == to_stack());
  CHECK(node.metric(DROP_NONE, HOOK_TO_POD).packets == 0);
  CHECK(node.counter(COUNTER_FLOW_REDECIDED) == 0);
}

TEST_CASE("of a GSO packet the segments count, not the whole") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node, 1300);
    const unsigned head = family.v4 ? 20 : 40;
    const auto web = family.at(family.web, 999), db = family.at(family.db, 53);
    const Packet stream = tcp(web, db).payload(3000).dont_fragment(),
                 datagrams = udp(web, db).payload(3000).dont_fragment();
    CHECK(node.from_pod("web", stream.gso(1300 - head - 20)) == delivered_to("db"));
    CHECK(node.from_pod("web", stream.gso(1300 - head - 19)) == told_sender(DROP_TOO_BIG));
    CHECK(node.from_pod("web", datagrams.gso(1300 - head - 8)) == delivered_to("db"));
    CHECK(node.from_pod("web", datagrams.gso(1300 - head - 7)) == told_sender(DROP_TOO_BIG));
  }
}

TEST_CASE("no ICMP error answers an ICMP error or a later fragment") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node);
    const Packet question = udp(family.at(family.db, 53), family.at(family.web, 999));
    REQUIRE(node.from_pod("db", question) == delivered_to("web"));
    const Packet error = icmp_about(family.web, family.db, family.v4 ? 3 : 1, family.v4 ? 3 : 4, 0, question);
    CHECK(node.from_pod("web", error.ttl(1)) == dropped(DROP_TTL_EXPIRED));
    const Packet whole = udp(family.at(family.web, 999), family.at(family.db, 53));
    CHECK(node.from_pod("web", whole.payload(64).fragment(5, 0).ttl(1)) == told_sender(DROP_TTL_EXPIRED));
    CHECK(node.from_pod("web", whole.payload(64).fragment(5, 72, false).ttl(1)) == dropped(DROP_TTL_EXPIRED));
    CHECK(node.counter(COUNTER_ICMP_ERROR_SENT) == 1);
  }
}

TEST_CASE("ICMP errors are sent at a bounded rate, or not at all") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    const Packet sent = udp(family.at(family.web, 999), family.at(family.db, 53)).ttl(1);
    for (const std::uint32_t most : {0U, 1U, 5U}) {
      CAPTURE(most);
      Datapath node({.icmp_errors_per_second = most});
      two_pods(node);
      unsigned told = 0, silent = 0;
      for (int i = 0; i < 40; i++) {
        const Outcome outcome = node.from_pod("web", sent);
        told += outcome == told_sender(DROP_TTL_EXPIRED);
        silent += outcome == dropped(DROP_TTL_EXPIRED);
      }
      CHECK(told + silent == 40);
      CHECK(node.counter(COUNTER_ICMP_ERROR_SENT) == told);
      CHECK(node.counter(COUNTER_ICMP_ERROR_LIMITED) == silent);
      // A bucket for each CPU, and the 40 packets may take a moment.
      CHECK(told >= std::min(most, 1U));
      CHECK(told <= most * 8);
      CHECK(silent > 0);
    }
  }
}

TEST_CASE("an ICMP error goes the way of the flow that it is about, and does not count as its packet") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node);
    const auto web = family.at(family.web, 999), db = family.at(family.db, 53);
    const std::uint8_t type = family.v4 ? 3 : 1, code = family.v4 ? 3 : 4;
    const struct {
      std::string_view name;
      Packet question;
    } rows[] = {{"UDP", udp(web, db)},
                {"TCP", tcp(web, db, "S")},
                {"SCTP", sctp(web, db)},
                {"echo", ping(family.web, family.db)},
                {"other", other(family.web, family.db, 47)}};
    for (const auto& row : rows) {
      CAPTURE(row.name);
      const Packet error = icmp_about(family.db, family.web, type, code, 0, row.question);
      CHECK(node.from_pod("db", error) == dropped(DROP_ICMP_UNRELATED));
      REQUIRE(node.from_pod("web", row.question) == delivered_to("db"));
      CHECK(node.from_pod("db", error) == delivered_to("web"));
      CHECK(node.from_pod("db", icmp_about(family.db, family.web, type, code, 0, row.question, family.v4 ? 28 : 48)) ==
            delivered_to("web"));
      node.new_epoch();
      CHECK(node.from_pod("db", error) == delivered_to("web"));
      CHECK(node.flow(row.question)->back().packets == 0);
      CHECK(node.flow(row.question)->back().last_seen_ns == 0);
      CHECK(node.flow(row.question)->half().packets == 1);
    }
    CHECK(node.flows().size() == 5);
  }
}

TEST_CASE("an ICMP error that cannot be about a flow of its sender is dropped") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node);
    node.pod("thief", "10.0.0.7", "fd00::7");
    const char* thief = family.v4 ? "10.0.0.7" : "fd00::7";
    const std::uint8_t type = family.v4 ? 3 : 1;
    const Packet question = udp(family.at(family.web, 999), family.at(family.db, 53));
    REQUIRE(node.from_pod("web", question) == delivered_to("db"));
    const Packet right = icmp_about(family.db, family.web, type, 1, 0, question);
    const std::size_t quoted = 14 + (family.v4 ? 20 : 40) + 8;
    const struct {
      std::string_view name;
      const char* sender;
      Packet sent;
      Verdict want;
    } rows[] = {
        {"as it should be", "db", right, delivered_to("web")},
        {"from a pod that the flow is not with", "thief", icmp_about(thief, family.web, type, 1, 0, question),
         dropped(DROP_ICMP_UNRELATED)},
        {"the same under the right address", "thief", right, dropped(DROP_SOURCE_SPOOFED)},
        {"to another than who sent what it quotes", "db", icmp_about(family.db, thief, type, 1, 0, question),
         dropped(DROP_ICMP_UNRELATED)},
        {"about a packet of its own", "web", icmp_about(family.web, family.db, type, 1, 0, question),
         dropped(DROP_ICMP_UNRELATED)},
        {"about a later fragment", "db", icmp_about(family.db, family.web, type, 1, 0, question.fragment(9, 64)),
         dropped(DROP_ICMP_UNRELATED)},
        {"about another flow", "db",
         icmp_about(family.db, family.web, type, 1, 0, udp(family.at(family.web, 998), family.at(family.db, 53))),
         dropped(DROP_ICMP_UNRELATED)},
        {"that quotes nothing", "db", right.cut_to(quoted), dropped(DROP_PARSE_SHORT)},
        {"that quotes half an IP header", "db", right.cut_to(quoted + 12), dropped(DROP_PARSE_SHORT)},
        {"that quotes less than the ports", "db", right.cut_to(quoted + (family.v4 ? 20 : 40) + 7),
         dropped(DROP_PARSE_SHORT)},
        {"that quotes another version of IP", "db", right.byte(quoted, 0x25), dropped(DROP_IP_HEADER)},
    };
    for (const auto& row : rows) {
      CAPTURE(row.name);
      CHECK(node.from_pod(row.sender, row.sent) == row.want);
    }
  }
}

TEST_CASE("an ICMP error about what a pod sent to the world reaches it, from whichever router") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node);
    const Packet question = udp(family.at(family.web, 999), family.at(family.world, 443));
    const char* router = family.v4 ? "203.0.113.1" : "2001:db8:5::1";
    const Packet error = icmp_about(router, family.web, family.v4 ? 11 : 3, 0, 0, question);
    CHECK(node.to_pod("web", error) == to_stack());  // also when the flow is forgotten
    CHECK(node.flows().empty());
    REQUIRE(node.from_pod("web", question) == to_stack());
    CHECK(node.to_pod("web", error) == to_stack());
    CHECK(node.flow(question)->back().packets == 0);
    CHECK(node.to_pod("db", error) == dropped(DROP_NOT_THIS_POD));
    CHECK(node.to_pod("web", icmp_about(router, family.db, family.v4 ? 11 : 3, 0, 0, question)) ==
          dropped(DROP_ICMP_UNRELATED));
  }
}
