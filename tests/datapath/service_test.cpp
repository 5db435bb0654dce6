// Services in the programs: the choice of a backend, the translation there and back, and what is refused.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include <map>

#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

const char* vip(const Family& family) { return family.v4 ? "10.96.0.1" : "fd96::1"; }

Datapath& two_pods(Datapath& node, const PodOptions& db = {}) {
  return node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6", db);
}

// A connection of web to the service, and what its packets are on the other side.
struct Connection {
  Packet asks, asks_there, answers, answers_here;
};

Connection connection(const Family& family, std::uint8_t proto, int sport = 999) {
  const std::string client = family.at(family.web, sport), service = family.at(vip(family), 80),
                    backend = family.at(family.db, 8080);
  const Packet packet = proto == IPPROTO_TCP ? tcp(client, service, "S") : udp(client, service);
  return {packet, packet.between(client, backend), packet.between(backend, client), packet.between(service, client)};
}

}  // namespace

TEST_CASE("a connection to a Service goes to its backend, and the answer comes from the Service") {
  for (const Family& family : kFamilies) {
    for (const std::uint8_t proto : {IPPROTO_TCP, IPPROTO_UDP}) {
      CAPTURE(family.name);
      CAPTURE(proto);
      Datapath node;
      two_pods(node).service(family.at(vip(family), 80), proto, {family.at(family.db, 8080)});
      const Connection way = connection(family, proto);
      for (int round = 0; round < 3; round++) {  // decided, then known
        CHECK(node.from_pod("web", way.asks, way.asks_there) == delivered_to("db"));
        CHECK(node.from_pod("db", way.answers, way.answers_here) == delivered_to("web"));
        for (const Packet& packet : {way.asks, way.answers}) {  // either entry knows that the other end has answered
          const auto flow = node.flow(packet);
          CHECK(flow->half().packets > 0);
          CHECK(flow->back().packets > 0);
        }
      }
      CHECK(node.flows().size() == 2);
      CHECK(node.flow(way.asks)->half().packets == 3);
      CHECK(node.flow(way.answers)->half().packets == 3);
      CHECK(node.counter(COUNTER_FLOW_CREATED) == 1);
    }
  }
}

TEST_CASE("a translated connection keeps its backend when the choice changes, and goes on in both directions") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node).service(family.at(vip(family), 80), IPPROTO_TCP, {family.at(family.db, 8080)});
    const Connection way = connection(family, IPPROTO_TCP);
    REQUIRE(node.from_pod("web", way.asks, way.asks_there) == delivered_to("db"));
    REQUIRE(node.from_pod("db", way.answers.flags("SA"), way.answers_here.flags("SA")) == delivered_to("web"));
    node.service(family.at(vip(family), 80), IPPROTO_TCP, {family.at(family.web, 8080)});
    CHECK(node.from_pod("web", way.asks.flags("A"), way.asks_there.flags("A")) == delivered_to("db"));
    CHECK(node.from_pod("db", way.answers.flags("A"), way.answers_here.flags("A")) == delivered_to("web"));
  }
}

TEST_CASE("who asks before the Service is there reaches it when it has come, from the same port") {
  for (const Family& family : kFamilies) {
    for (const std::uint8_t proto : {IPPROTO_TCP, IPPROTO_UDP}) {
      CAPTURE(family.name);
      CAPTURE(proto);
      Datapath node;
      two_pods(node);
      const Connection way = connection(family, proto);
      REQUIRE(node.from_pod("web", way.asks) == to_stack());
      node.service(family.at(vip(family), 80), proto, {family.at(family.db, 8080)});
      node.service_address(vip(family));
      CHECK(node.from_pod("web", way.asks, way.asks_there) == delivered_to("db"));
      CHECK(node.from_pod("db", way.answers, way.answers_here) == delivered_to("web"));
    }
  }
}

TEST_CASE("datagrams leave a backend that does not serve any more, and stay with one that ends") {
  Datapath node;
  const Family& family = kFamilies[0];
  two_pods(node).pod("two", "10.0.0.7", "fd00::7");
  node.service("10.96.0.1:80", IPPROTO_UDP, {"10.0.0.6:8080"});
  const Connection way = connection(family, IPPROTO_UDP);
  REQUIRE(node.from_pod("web", way.asks, way.asks_there) == delivered_to("db"));
  node.backends_become(BACKEND_ENDING).service("10.96.0.1:80", IPPROTO_UDP, {"10.0.0.7:8080"});
  CHECK(node.from_pod("web", way.asks, way.asks_there) == delivered_to("db"));
  node.backends_become(BACKEND_GONE).service("10.96.0.1:80", IPPROTO_UDP, {"10.0.0.7:8080"});
  CHECK(node.from_pod("web", way.asks, way.asks.between("10.0.0.5:999", "10.0.0.7:8080")) == delivered_to("two"));
}

TEST_CASE("a pod that reaches itself through its Service sees an address that it can answer") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    const std::string self = family.at(family.web, 999), service = family.at(vip(family), 80);
    node.pod("web", "10.0.0.5", "fd00::5").service(service, IPPROTO_TCP, {family.at(family.web, 8080)});
    const Packet asks = tcp(self, service, "S");
    const std::string seen = family.at(vip(family), 999), server = family.at(family.web, 8080);
    CHECK(node.from_pod("web", asks, asks.between(seen, server)) == delivered_to("web"));
    const Packet answers = tcp(server, seen, "SA");
    CHECK(node.from_pod("web", answers, answers.between(service, self)) == delivered_to("web"));
  }
}

TEST_CASE("without an endpoint a Service refuses, and so do its address's other ports") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node)
        .service(family.at(vip(family), 80), IPPROTO_TCP, {})
        .service(family.at(vip(family), 80), IPPROTO_UDP, {});
    node.service_address(vip(family));
    const std::string client = family.at(family.web, 999);
    for (const int port : {80, 81}) {
      const std::string service = family.at(vip(family), port);
      const Outcome reset = node.from_pod("web", tcp(client, service, "S"));
      CHECK(reset == told_sender(DROP_NO_BACKEND));
      CHECK(decode(reset.got).text.find("[RA]") != std::string::npos);
      const Outcome unreachable = node.from_pod("web", udp(client, service));
      CHECK(unreachable == told_sender(DROP_NO_BACKEND));
      CHECK(unreachable.got ==
            icmp_about(family.host, family.web, family.v4 ? 3 : 1, family.v4 ? 3 : 4, 0, udp(client, service))
                .frame(sluice::loader::kHostMac, node.mac("web")));
    }
    CHECK(node.flows().empty());
  }
}

TEST_CASE("policy Local without an endpoint here drops, and so does a client out of range") {
  Datapath node;
  two_pods(node);
  const Packet asks = tcp("10.0.0.5:999", "10.96.0.1:80", "S");
  node.service("10.96.0.1:80", IPPROTO_TCP, {}, {.flags = SERVICE_DROP_INSIDE});
  CHECK(node.from_pod("web", asks) == dropped(DROP_NO_LOCAL_BACKEND));
  node.service("10.96.0.1:80", IPPROTO_TCP, {"10.0.0.6:80"}, {.source_ranges = {"10.0.0.9"}});
  CHECK(node.from_pod("web", asks) == dropped(DROP_SOURCE_RANGE));
  node.service("10.96.0.1:80", IPPROTO_TCP, {"10.0.0.6:80"}, {.id = 2, .source_ranges = {"10.0.0.5"}});
  CHECK(node.from_pod("web", asks, asks.between("10.0.0.5:999", "10.0.0.6:80")) == delivered_to("db"));
}

TEST_CASE("a client with affinity has the same backend for all its connections, until its time is over") {
  Datapath node;
  node.pod("web", "10.0.0.5", "fd00::5").pod("a", "10.0.0.6", "fd00::6").pod("b", "10.0.0.7", "fd00::7");
  const auto chosen = [&](int port) {
    const Outcome outcome = node.from_pod("web", tcp("10.0.0.5:" + std::to_string(port), "10.96.0.1:80", "S"));
    return outcome.verdict.pod;
  };
  node.service("10.96.0.1:80", IPPROTO_TCP, {"10.0.0.6:80", "10.0.0.7:80"}, {.affinity_s = 100});
  const std::string first = chosen(1000);
  for (int port = 1001; port < 1030; port++) CHECK(chosen(port) == first);
  node.service("10.96.0.1:80", IPPROTO_TCP, {"10.0.0.6:80", "10.0.0.7:80"});
  std::map<std::string, int> seen;
  for (int port = 2000; port < 2100; port++) seen[chosen(port)]++;
  CHECK(seen.size() == 2);
}

TEST_CASE("without room for another client's affinity its connections are served, and who has one keeps it") {
  Datapath node({.affinity = 1, .full_refuses = true});
  node.pod("one", "10.0.0.5", "fd00::5").pod("other", "10.0.0.8", "fd00::8");
  node.pod("a", "10.0.0.6", "fd00::6").pod("b", "10.0.0.7", "fd00::7");
  const auto chosen = [&](const char* from, const std::string& address, int port) {
    return node.from_pod(from, tcp(address + ":" + std::to_string(port), "10.96.0.1:80", "S")).verdict.pod;
  };
  node.service("10.96.0.1:80", IPPROTO_TCP, {"10.0.0.6:80", "10.0.0.7:80"}, {.affinity_s = 100});
  const std::string first = chosen("one", "10.0.0.5", 1000);
  for (int port = 1001; port < 1030; port++) {
    const std::string second = chosen("other", "10.0.0.8", port);
    CHECK((second == "a" || second == "b"));
    CHECK(chosen("one", "10.0.0.5", port) == first);
  }
}

TEST_CASE("the client's port is kept unless another connection has it, then another is taken") {
  Datapath node;
  two_pods(node).service("10.96.0.1:80", IPPROTO_TCP, {"10.0.0.6:8080"});
  // Straight to the backend first: the tuple behind the translation is taken.
  REQUIRE(node.from_pod("web", tcp("10.0.0.5:999", "10.0.0.6:8080", "S")) == delivered_to("db"));
  const Packet asks = tcp("10.0.0.5:999", "10.96.0.1:80", "S");
  const Outcome outcome = node.from_pod("web", asks);
  CHECK(outcome.verdict == delivered_to("db"));
  const auto flow = node.flow(asks);
  REQUIRE(flow);
  const int port = flow->entry.to.sport.to_host();
  CHECK(port != 999);
  CHECK(port >= 1024);
  const std::string given = "10.0.0.5:" + std::to_string(port);
  CHECK(outcome.got[34] * 256 + outcome.got[35] == port);
  CHECK(decode(outcome.got).problems.empty());
  const Packet answers = tcp("10.0.0.6:8080", given, "SA");
  CHECK(node.from_pod("db", answers, answers.between("10.96.0.1:80", "10.0.0.5:999")) == delivered_to("web"));
}

TEST_CASE("a pod cannot speak on the tuple of its own translated connection") {
  Datapath node;
  two_pods(node).service("10.96.0.1:80", IPPROTO_TCP, {"10.0.0.6:8080"});
  const Connection way = connection(kFamilies[0], IPPROTO_TCP);
  REQUIRE(node.from_pod("web", way.asks, way.asks_there) == delivered_to("db"));
  CHECK(node.from_pod("web", way.asks_there) == dropped(DROP_TUPLE_IN_USE));
}

TEST_CASE("an ICMP error about a translated packet is translated with what it quotes") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node).service(family.at(vip(family), 80), IPPROTO_UDP, {family.at(family.db, 8080)});
    const Connection way = connection(family, IPPROTO_UDP);
    REQUIRE(node.from_pod("web", way.asks, way.asks_there) == delivered_to("db"));
    const std::uint8_t type = family.v4 ? 3 : 1, code = family.v4 ? 3 : 4;
    const Outcome outcome = node.from_pod("db", icmp_about(family.db, family.web, type, code, 0, way.asks_there));
    CHECK(outcome.verdict == delivered_to("web"));
    const Decoded got = decode(outcome.got);
    CHECK(got.text.find(std::string(vip(family)) + " > " + family.web) != std::string::npos);
    // The quoted UDP checksum is of the packet as the backend got it: nobody checks it.
    for (const std::string& problem : got.problems) CHECK(problem.find("quoted") != std::string::npos);
  }
}

TEST_CASE("later fragments of a translated datagram follow the first") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node).service(family.at(vip(family), 80), IPPROTO_UDP, {family.at(family.db, 8080)});
    const Connection way = connection(family, IPPROTO_UDP);
    CHECK(node.from_pod("web", way.asks.payload(64).fragment(5, 0)).verdict == delivered_to("db"));
    const Outcome later = node.from_pod("web", way.asks.payload(64).fragment(5, 72, false),
                                        way.asks_there.payload(64).fragment(5, 72, false));
    CHECK(later == delivered_to("db"));
  }
}

TEST_CASE("what a router owes about a translated packet quotes it as its sender knows it") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node).service(family.at(vip(family), 80), IPPROTO_UDP, {family.at(family.db, 8080)});
    const Connection way = connection(family, IPPROTO_UDP);
    CHECK(node.from_pod("web", way.asks.ttl(1)) == told_sender(DROP_TTL_EXPIRED));
  }
}

TEST_CASE("an entry of a translated connection that is lost is written again by the other") {
  Datapath node;
  two_pods(node).service("10.96.0.1:80", IPPROTO_TCP, {"10.0.0.6:8080"});
  const Connection way = connection(kFamilies[0], IPPROTO_TCP);
  REQUIRE(node.from_pod("web", way.asks, way.asks_there) == delivered_to("db"));
  REQUIRE(node.from_pod("db", way.answers.flags("SA"), way.answers_here.flags("SA")) == delivered_to("web"));
  node.forget(way.answers);
  node.age(way.asks, 2);
  REQUIRE(node.from_pod("web", way.asks.flags("A"), way.asks_there.flags("A")) == delivered_to("db"));
  CHECK(node.flow(way.answers).has_value());
  CHECK(node.from_pod("db", way.answers.flags("A"), way.answers_here.flags("A")) == delivered_to("web"));
}
