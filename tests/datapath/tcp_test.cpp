// TCP's states, and how long each kind of flow is believed.
#include <doctest/doctest.h>

#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

constexpr unsigned char kTcp = 6;

struct Connection {
  Datapath& node;
  const Family& family;

  [[nodiscard]] Packet there(const char* flags) const {
    return tcp(family.at(family.web, 999), family.at(family.db, 80), flags);
  }
  [[nodiscard]] Packet back(const char* flags) const {
    return tcp(family.at(family.db, 80), family.at(family.web, 999), flags);
  }
  void send(const char* flags) const { REQUIRE(node.from_pod("web", there(flags)) == delivered_to("db")); }
  void answer(const char* flags) const { REQUIRE(node.from_pod("db", back(flags)) == delivered_to("web")); }
  void open() const {
    send("S");
    answer("SA");
    send("A");
  }
  [[nodiscard]] enum flow_state state() const {
    const auto flow = node.flow(there("S"));
    return ::sluice::maps::flow_state(kTcp, &flow->half(), &flow->back());
  }
};

void two_pods(Datapath& node) { node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6"); }

}  // namespace

TEST_CASE("a TCP connection goes through its states") {
  for (const Family& family : kFamilies) SUBCASE(family.name.data()) {
      Datapath node;
      two_pods(node);
      const Connection tcp{node, family};
      tcp.send("S");
      CHECK(tcp.state() == FLOW_OPENING);
      tcp.answer("SA");
      CHECK(tcp.state() == FLOW_OPENING);
      tcp.send("A");
      CHECK(tcp.state() == FLOW_ESTABLISHED);
      tcp.send("PA");
      CHECK(tcp.state() == FLOW_ESTABLISHED);
      SUBCASE("closed by its opener") {
        tcp.send("FA");
        CHECK(tcp.state() == FLOW_CLOSING);
        tcp.answer("A");
        CHECK(tcp.state() == FLOW_CLOSING);
        tcp.answer("FA");
        CHECK(tcp.state() == FLOW_CLOSED);
      }
      SUBCASE("closed by the other end") {
        tcp.answer("FA");
        CHECK(tcp.state() == FLOW_CLOSING);
        tcp.send("FA");
        CHECK(tcp.state() == FLOW_CLOSED);
      }
      SUBCASE("reset") {
        tcp.answer("RA");
        CHECK(tcp.state() == FLOW_CLOSED);
      }
    }
}

TEST_CASE("a SYN opens a new connection where the old one is closing, and no other packet does") {
  for (const Family& family : kFamilies) SUBCASE(family.name.data()) {
      Datapath node;
      two_pods(node);
      const Connection tcp{node, family};
      tcp.open();
      SUBCASE("established: it is the same connection") {
        tcp.send("S");
        CHECK(node.counter(COUNTER_FLOW_CREATED) == 1);
        CHECK(node.flow(tcp.there("S"))->half().packets == 3);
      }
      for (const char* how : {"FA", "R"}) {
        SUBCASE(how) {
          tcp.send(how);
          tcp.answer("A");
          tcp.answer("SA");  // not a SYN alone
          CHECK(node.counter(COUNTER_FLOW_CREATED) == 1);
          tcp.answer("S");  // from the other end this time
          CHECK(node.counter(COUNTER_FLOW_CREATED) == 2);
          const auto flow = node.flow(tcp.back("S"));
          CHECK(flow->half().packets == 1);
          CHECK(flow->back().packets == 0);
          CHECK(flow->entry.initiator == flow->dir);
          CHECK(tcp.state() == FLOW_OPENING);
        }
      }
      SUBCASE("closing while its decision is stale") {
        tcp.send("FA");
        node.new_epoch();
        tcp.send("S");
        CHECK(node.counter(COUNTER_FLOW_CREATED) == 2);
        CHECK(node.flow(tcp.there("S"))->half().packets == 1);
      }
    }
}

TEST_CASE("each kind of flow has a time-out of its own") {
  const struct {
    std::string_view name;
    enum flow_timeout timeout;
    std::vector<const char*> flags;  // TCP: of the opener, of the other end, in turns
    unsigned char proto;
    bool answered;
  } rows[] = {
      {"TCP, opening", TIMEOUT_TCP_OPENING, {"S"}, 6, false},
      {"TCP, half open", TIMEOUT_TCP_OPENING, {"S", "SA"}, 6, false},
      {"TCP, established", TIMEOUT_TCP_ESTABLISHED, {"S", "SA", "A"}, 6, false},
      {"TCP, closing", TIMEOUT_TCP_CLOSING, {"S", "SA", "FA"}, 6, false},
      {"TCP, closed", TIMEOUT_TCP_CLOSED, {"S", "SA", "FA", "FA"}, 6, false},
      {"TCP, reset", TIMEOUT_TCP_CLOSED, {"S", "RA"}, 6, false},
      {"UDP without an answer", TIMEOUT_UDP_OPENING, {}, 17, false},
      {"UDP", TIMEOUT_UDP_ESTABLISHED, {}, 17, true},
      {"ICMP", TIMEOUT_ICMP, {}, 1, true},
      {"SCTP", TIMEOUT_OTHER, {}, 132, true},
  };
  using std::chrono::seconds;
  for (const auto& row : rows) {
    for (const bool short_one : {true, false}) {
      CAPTURE(row.name);
      CAPTURE(short_one);
      Settings settings;
      settings.timeouts.fill(short_one ? seconds(3600) : seconds(2));
      settings.timeouts[row.timeout] = short_one ? seconds(2) : seconds(3600);
      Datapath node(settings);
      two_pods(node);
      for (const Family& family : kFamilies) {
        CAPTURE(family.name);
        const auto web = family.at(family.web, 999), db = family.at(family.db, 80);
        const Packet there = row.proto == 6    ? tcp(web, db, "A")
                             : row.proto == 17 ? udp(web, db)
                             : row.proto == 1  ? ping(family.web, family.db)
                                               : sctp(web, db);
        const Packet back = row.proto == 6    ? tcp(db, web, "A")
                            : row.proto == 17 ? udp(db, web)
                            : row.proto == 1  ? pong(family.db, family.web)
                                              : sctp(db, web);
        if (row.proto != 6) REQUIRE(node.from_pod("web", there) == delivered_to("db"));
        if (row.answered) REQUIRE(node.from_pod("db", back) == delivered_to("web"));
        for (std::size_t i = 0; i < row.flags.size(); i++) {
          if (i % 2 == 0)
            REQUIRE(node.from_pod("web", there.flags(row.flags[i])) == delivered_to("db"));
          else
            REQUIRE(node.from_pod("db", back.flags(row.flags[i])) == delivered_to("web"));
        }
        const auto before = node.counter(COUNTER_FLOW_CREATED);
        node.age(there, 3);
        REQUIRE(node.from_pod("db", row.proto == 6 ? back.flags("PA") : back) == delivered_to("web"));
        CHECK(node.counter(COUNTER_FLOW_CREATED) - before == (short_one ? 1 : 0));
        CHECK(node.flow(there)->entry.initiator == (short_one ? 1 - node.flow(there)->dir : node.flow(there)->dir));
      }
    }
  }
}

TEST_CASE("a time-out counts from the last packet of either direction, also where the decision is stale") {
  Settings settings;
  settings.timeouts.fill(std::chrono::seconds(2));
  Datapath node(settings);
  two_pods(node);
  const Packet there = udp("10.0.0.5:999", "10.0.0.6:53"), back = udp("10.0.0.6:53", "10.0.0.5:999");
  REQUIRE(node.from_pod("web", there) == delivered_to("db"));
  REQUIRE(node.from_pod("db", back) == delivered_to("web"));
  SUBCASE("one direction alone keeps it alive") {
    node.age(there, 3);
    REQUIRE(node.from_pod("db", back) == delivered_to("web"));  // starts anew
    CHECK(node.counter(COUNTER_FLOW_CREATED) == 2);
    REQUIRE(node.from_pod("web", there) == delivered_to("db"));  // and this is its answer
    CHECK(node.counter(COUNTER_FLOW_CREATED) == 2);
    CHECK(node.flow(there)->half().packets == 1);
  }
  SUBCASE("what has timed out is not taken over by a new decision") {
    node.age(there, 3);
    node.new_epoch();
    REQUIRE(node.from_pod("web", there) == delivered_to("db"));
    CHECK(node.counter(COUNTER_FLOW_REDECIDED) == 0);
    CHECK(node.counter(COUNTER_FLOW_CREATED) == 2);
    CHECK(node.flow(there)->half().packets == 1);
  }
}

TEST_CASE("a half is brought up to date once a second and not at every packet") {
  Datapath node;
  two_pods(node);
  const Packet there = udp("10.0.0.5:999", "10.0.0.6:53");
  REQUIRE(node.from_pod("web", there) == delivered_to("db"));
  const auto first = node.flow(there)->half().last_seen_ns;
  REQUIRE(node.from_pod("web", there) == delivered_to("db"));
  CHECK(node.flow(there)->half().last_seen_ns == first);
  node.age(there, 2);
  REQUIRE(node.from_pod("web", there) == delivered_to("db"));
  CHECK(node.flow(there)->half().last_seen_ns >= first);
  CHECK(node.counter(COUNTER_FLOW_CREATED) == 1);
}
