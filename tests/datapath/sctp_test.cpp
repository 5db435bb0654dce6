// SCTP through translations: its checksum is a CRC over the whole packet, and the ports are in it.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

const char* vip(const Family& family) { return family.v4 ? "10.96.0.1" : "fd96::1"; }

Datapath& two_pods(Datapath& node) { return node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6"); }

/// A connection of web to the Service at port 80, whose endpoint is db's port 8080.
struct Connection {
  Packet asks, asks_there, answers, answers_here;

  Connection(const Family& family, std::size_t payload)
      : asks(sctp(family.at(family.web, 999), family.at(vip(family), 80)).payload(payload)),
        asks_there(asks.between(family.at(family.web, 999), family.at(family.db, 8080))),
        answers(asks.between(family.at(family.db, 8080), family.at(family.web, 999))),
        answers_here(asks.between(family.at(vip(family), 80), family.at(family.web, 999))) {}
};

/// Its checksum is left to the device that it leaves by.
Packet unsummed(Packet packet, const Family& family) {
  for (std::size_t i = 0; i < 4; i++) packet = packet.byte(14 + (family.v4 ? 20U : 40U) + 8 + i, 0);
  return packet;
}

}  // namespace

TEST_CASE("SCTP goes to a Service's endpoint at another port and back, its checksum right at both ends") {
  for (const Family& family : kFamilies) {
    Datapath node;
    two_pods(node).service(family.at(vip(family), 80), IPPROTO_SCTP, {family.at(family.db, 8080)});
    for (const std::size_t payload : {0, 1, 16, 17, 255, 1000, 1431}) {
      CAPTURE(family.name);
      CAPTURE(payload);
      const Connection way(family, payload);
      CHECK(node.from_pod("web", way.asks, way.asks_there) == delivered_to("db"));
      CHECK(node.from_pod("db", way.answers, way.answers_here) == delivered_to("web"));
      CHECK(node.from_pod("web", unsummed(way.asks, family), unsummed(way.asks_there, family)) == delivered_to("db"));
    }
    CHECK(node.flows().size() == 2);
  }
}

TEST_CASE("an SCTP connection whose port another has gets one of its own") {
  Datapath node;
  two_pods(node).service("10.96.0.1:80", IPPROTO_SCTP, {"10.0.0.6:80"});
  REQUIRE(node.from_pod("web", sctp("10.0.0.5:999", "10.0.0.6:80")) == delivered_to("db"));
  const Packet asks = sctp("10.0.0.5:999", "10.96.0.1:80");
  const Outcome outcome = node.from_pod("web", asks);
  CHECK(outcome.verdict == delivered_to("db"));
  CHECK(decode(outcome.got).problems.empty());
  const int port = node.flow(asks)->entry.to.sport.to_host();
  CHECK(port != 999);
  const Packet answers = sctp("10.0.0.6:80", "10.0.0.5:" + std::to_string(port));
  CHECK(node.from_pod("db", answers, answers.between("10.96.0.1:80", "10.0.0.5:999")) == delivered_to("web"));
}

TEST_CASE("SCTP in fragments keeps its ports or goes nowhere, since its checksum is over bytes that are elsewhere") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node).service(family.at(vip(family), 80), IPPROTO_SCTP, {family.at(family.db, 8080)});
    node.service(family.at(vip(family), 81), IPPROTO_SCTP, {family.at(family.db, 81)});
    const Packet first = Connection(family, 64).asks.fragment(7, 0);
    CHECK(node.from_pod("web", first).verdict == dropped(DROP_REWRITE));
    const std::string client = family.at(family.web, 998);
    const Packet same = sctp(client, family.at(vip(family), 81)).payload(64).fragment(8, 0);
    CHECK(node.from_pod("web", same).verdict == delivered_to("db"));
  }
}

TEST_CASE("an ICMP error about a translated SCTP packet names the ports that its sender knows") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node).service(family.at(vip(family), 80), IPPROTO_SCTP, {family.at(family.db, 8080)});
    const Connection way(family, 16);
    REQUIRE(node.from_pod("web", way.asks, way.asks_there) == delivered_to("db"));
    const std::uint8_t type = family.v4 ? 3 : 1, code = family.v4 ? 3 : 4;
    // Eight bytes are quoted: the ports and the tag, no checksum.
    const std::size_t quote = family.v4 ? 28 : 48;
    CHECK(node.from_pod("db", icmp_about(family.db, family.web, type, code, 0, way.asks_there, quote),
                        icmp_about(vip(family), family.web, type, code, 0, way.asks, quote)) == delivered_to("web"));
  }
}
