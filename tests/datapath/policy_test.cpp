// Policy in the programs: classes, ports, tiers, both directions, and when a change takes effect.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include "maps/ipcache.h"
#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

constexpr std::uint32_t kWeb = 256, kDb = 257, kBlock = 300;

peer_verdict network_allow(std::uint32_t rule = 1) {
  peer_verdict verdict{};
  verdict.network = {rule, 0, POLICY_ALLOW, 0};
  return verdict;
}

peer_verdict admin(policy_verdict what, std::uint16_t rank) {
  peer_verdict verdict{};
  verdict.admin = {rank, rank, static_cast<__u8>(what), 0};
  return verdict;
}

Datapath& two_pods(Datapath& node) { return node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6"); }

}  // namespace

TEST_CASE("an isolated pod is reached by whom its rules allow, at the ports that they allow, and by no one else") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node).policy(7, POLICY_ISOLATES, {{IPPROTO_TCP, 80, 16, {{kWeb, network_allow()}}}});
    node.pod_policy("web", kWeb, 0, 0).pod_policy("db", kDb, 0, 7);
    const std::string web = family.at(family.web, 999);
    CHECK(node.from_pod("web", tcp(web, family.at(family.db, 80), "S")) == delivered_to("db"));
    CHECK(node.from_pod("web", tcp(web, family.at(family.db, 81), "S")) == dropped(DROP_POLICY_INGRESS));
    CHECK(node.from_pod("web", udp(web, family.at(family.db, 80))) == dropped(DROP_POLICY_INGRESS));
    CHECK(node.from_pod("web", ping(family.web, family.db)) == dropped(DROP_POLICY_INGRESS));
    node.pod_policy("web", kWeb + 9, 0, 0);
    CHECK(node.from_pod("web", tcp(family.at(family.web, 998), family.at(family.db, 80), "S")) ==
          dropped(DROP_POLICY_INGRESS));
  }
}

TEST_CASE("answers are always allowed, whatever the answering pod may begin") {
  Datapath node;
  two_pods(node).policy(7, POLICY_ISOLATES, {});
  node.pod_policy("web", kWeb, 0, 7).pod_policy("db", kDb, 7, 0);
  const Packet asks = tcp("10.0.0.5:999", "10.0.0.6:80", "S");
  CHECK(node.from_pod("web", asks) == delivered_to("db"));
  CHECK(node.from_pod("db", tcp("10.0.0.6:80", "10.0.0.5:999", "SA")) == delivered_to("web"));
  node.new_epoch();
  CHECK(node.from_pod("db", tcp("10.0.0.6:80", "10.0.0.5:999", "A")) == delivered_to("web"));
  CHECK(node.from_pod("db", tcp("10.0.0.6:1000", "10.0.0.5:80", "S")) == dropped(DROP_POLICY_EGRESS));
}

TEST_CASE("a change takes effect on the next packet of an established connection, in both directions") {
  Datapath node;
  two_pods(node).pod_policy("web", kWeb, 0, 0).pod_policy("db", kDb, 0, 0);
  const Packet there = tcp("10.0.0.5:999", "10.0.0.6:80"), back = tcp("10.0.0.6:80", "10.0.0.5:999");
  REQUIRE(node.from_pod("web", there) == delivered_to("db"));
  REQUIRE(node.from_pod("db", back) == delivered_to("web"));
  node.policy(7, POLICY_ISOLATES, {}).pod_policy("db", kDb, 0, 7);
  CHECK(node.from_pod("web", there) == dropped(DROP_POLICY_INGRESS));
  CHECK(node.from_pod("db", back) == dropped(DROP_POLICY_INGRESS));
  node.pod_policy("db", kDb, 0, 0);
  CHECK(node.from_pod("web", there) == delivered_to("db"));
  CHECK(node.from_pod("db", back) == delivered_to("web"));
}

TEST_CASE("a port range is a few prefixes, and the most specific one answers") {
  Datapath node;
  two_pods(node).policy(7, POLICY_ISOLATES,
                        {{IPPROTO_TCP, 8000, 10, {{kWeb, network_allow()}}}, {IPPROTO_TCP, 8004, 16, {}}});
  node.pod_policy("web", kWeb, 0, 0).pod_policy("db", kDb, 0, 7);
  int sport = 1000;
  const auto to = [&](int port) {
    return node.from_pod("web", tcp("10.0.0.5:" + std::to_string(sport++), "10.0.0.6:" + std::to_string(port), "S"));
  };
  CHECK(to(8000) == delivered_to("db"));
  CHECK(to(8063) == delivered_to("db"));
  CHECK(to(8064) == dropped(DROP_POLICY_INGRESS));
  CHECK(to(8004) == dropped(DROP_POLICY_INGRESS));
}

TEST_CASE("the identity and the blocks of an address both count") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node).policy(7, POLICY_ISOLATES, {{0, 0, 0, {{kBlock, network_allow()}}}});
    node.pod_policy("web", kWeb, 7, 0).pod_policy("db", kDb, 0, 0);
    const std::string web = family.at(family.web, 999);
    CHECK(node.from_pod("web", udp(web, family.at(family.world, 53))) == dropped(DROP_POLICY_EGRESS));
    node.known_address(family.world, IDENTITY_WORLD, kBlock);
    CHECK(node.from_pod("web", udp(web, family.at(family.world, 53))) == to_stack());
    CHECK(node.from_pod("web", udp(web, family.at(family.db, 53))) == dropped(DROP_POLICY_EGRESS));
    node.pod_policy("db", kDb, 0, 0, kBlock);
    CHECK(node.from_pod("web", udp(web, family.at(family.db, 53))) == delivered_to("db"));
  }
}

TEST_CASE("the admin tier is before NetworkPolicy, Baseline behind it, and of two rules the first one counts") {
  const auto baseline = [](policy_verdict what, std::uint16_t rank) {
    peer_verdict verdict{};
    verdict.baseline = {rank, rank, static_cast<__u8>(what), 0};
    return verdict;
  };
  const peer_verdict baseline_deny = baseline(POLICY_DENY, 9);
  const struct {
    const char* name;
    std::uint32_t flags;
    peer_verdict everyone, by_identity, by_block;
    Verdict want;
  } rows[] = {
      {"nothing said, not isolated", 0, {}, {}, {}, delivered_to("db")},
      {"nothing said, isolated", POLICY_ISOLATES, {}, {}, {}, dropped(DROP_POLICY_INGRESS)},
      {"admin denies", 0, admin(POLICY_DENY, 1), {}, {}, dropped(DROP_POLICY_INGRESS)},
      {"admin allows, isolated", POLICY_ISOLATES, {}, admin(POLICY_ALLOW, 1), {}, delivered_to("db")},
      {"allow before deny", 0, admin(POLICY_DENY, 2), admin(POLICY_ALLOW, 1), {}, delivered_to("db")},
      {"deny before allow", 0, {}, admin(POLICY_ALLOW, 2), admin(POLICY_DENY, 1), dropped(DROP_POLICY_INGRESS)},
      {"pass before deny", 0, admin(POLICY_DENY, 2), admin(POLICY_PASS, 1), {}, delivered_to("db")},
      {"pass, isolated", POLICY_ISOLATES, admin(POLICY_PASS, 1), {}, {}, dropped(DROP_POLICY_INGRESS)},
      {"pass, allowed", POLICY_ISOLATES, admin(POLICY_PASS, 1), network_allow(), {}, delivered_to("db")},
      {"baseline denies", 0, baseline_deny, {}, {}, dropped(DROP_POLICY_INGRESS)},
      {"baseline passes", 0, baseline(POLICY_DENY, 9), baseline(POLICY_PASS, 8), {}, delivered_to("db")},
      {"baseline is not asked where isolated", POLICY_ISOLATES, baseline_deny, network_allow(), {}, delivered_to("db")},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    Datapath node;
    two_pods(node).policy(7, row.flags, {{0, 0, 0, {{kWeb, row.by_identity}, {kBlock, row.by_block}}, row.everyone}});
    node.pod_policy("web", kWeb, 0, 0, kBlock).pod_policy("db", kDb, 0, 7);
    CHECK(node.from_pod("web", tcp("10.0.0.5:999", "10.0.0.6:80", "S")) == row.want);
  }
}

TEST_CASE("the node always reaches its pods, and a pod itself") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node).policy(7, POLICY_ISOLATES, {}).pod_policy("db", kDb, 7, 7);
    node.known_address(family.host, IDENTITY_HOST);
    CHECK(node.to_pod("db", tcp(family.at(family.host, 999), family.at(family.db, 80), "S")) == to_stack());
    CHECK(node.to_pod("db", tcp(family.at(family.world, 999), family.at(family.db, 80), "S")) ==
          dropped(DROP_POLICY_INGRESS));
    CHECK(node.from_pod("db", tcp(family.at(family.db, 999), family.at(family.db, 80), "S")) == delivered_to("db"));
  }
}

TEST_CASE("the gateway's address is the node's, whatever block contains it") {
  const char* const gateways[] = {sluice::loader::kGatewayV4, "fe80::1"};
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    const char* gateway = gateways[family.v4 ? 0 : 1];
    Datapath node;
    two_pods(node).policy(7, POLICY_ISOLATES, {}).pod_policy("db", kDb, 0, 7);
    node.known_address(family.v4 ? "0.0.0.0/0" : "::/0", IDENTITY_WORLD, kBlock);
    CHECK(node.to_pod("db", tcp(family.at(gateway, 999), family.at(family.db, 80), "S")) == to_stack());
    CHECK(node.to_pod("db", tcp(family.at(family.world, 999), family.at(family.db, 80), "S")) ==
          dropped(DROP_POLICY_INGRESS));
  }
}

TEST_CASE("egress through a Service is judged on the backend and its port") {
  Datapath node;
  two_pods(node).policy(7, POLICY_ISOLATES, {{IPPROTO_TCP, 8080, 16, {{kDb, network_allow()}}}});
  node.pod_policy("web", kWeb, 7, 0).pod_policy("db", kDb, 0, 0);
  node.service("10.96.0.1:80", IPPROTO_TCP, {"10.0.0.6:8080"});
  const Packet asks = tcp("10.0.0.5:999", "10.96.0.1:80", "S");
  CHECK(node.from_pod("web", asks, asks.between("10.0.0.5:999", "10.0.0.6:8080")) == delivered_to("db"));
  const Packet answers = tcp("10.0.0.6:8080", "10.0.0.5:999", "SA");
  node.new_epoch();
  CHECK(node.from_pod("db", answers, answers.between("10.96.0.1:80", "10.0.0.5:999")) == delivered_to("web"));
  node.service("10.96.0.1:80", IPPROTO_TCP, {"10.0.0.6:80"});
  CHECK(node.from_pod("web", tcp("10.0.0.5:998", "10.96.0.1:80", "S")) == dropped(DROP_POLICY_EGRESS));
}

TEST_CASE("audit shows what each direction would have denied, once a connection, and lets it through") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node).policy(6, POLICY_AUDIT, {{0, 0, 0, {}, admin(POLICY_DENY, 5)}});
    node.policy(7, POLICY_ISOLATES | POLICY_AUDIT | POLICY_REJECT, {});
    node.pod_policy("web", kWeb, 6, 0).pod_policy("db", kDb, 0, 7);
    node.observe(0, {.events = 1U << EVENT_AUDITED | 1U << EVENT_DROPPED});
    const Packet asks = tcp(family.at(family.web, 999), family.at(family.db, 80), "S");
    for (int i = 0; i < 3; i++) CHECK(node.from_pod("web", asks) == delivered_to("db"));
    CHECK(node.from_pod("db", tcp(family.at(family.db, 80), family.at(family.web, 999), "SA")) == delivered_to("web"));
    const auto events = node.events(0);
    REQUIRE(events.size() == 2);
    CHECK(events[0].type == EVENT_AUDITED);
    CHECK(events[0].reason == DROP_POLICY_EGRESS);
    CHECK(events[0].rule == 5);
    CHECK(events[1].type == EVENT_AUDITED);
    CHECK(events[1].reason == DROP_POLICY_INGRESS);
    CHECK(events[1].rule == 0);
    CHECK(node.counter(COUNTER_POLICY_AUDITED) == 2);
    // What another end denies in earnest is denied.
    node.policy(8, POLICY_ISOLATES, {}).pod_policy("db", kDb, 0, 8);
    CHECK(node.from_pod("web", asks) == dropped(DROP_POLICY_INGRESS));
  }
}

TEST_CASE(
    "in reject mode whoever asked is told, be it a pod or the world, for what it sends and what it wants to get") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node).policy(8, POLICY_ISOLATES | POLICY_REJECT, {});
    const std::string web = family.at(family.web, 998), db = family.at(family.db, 80),
                      world = family.at(family.world, 998);
    node.pod_policy("web", kWeb, 0, 0).pod_policy("db", kDb, 0, 8);
    for (const Packet& asks : {tcp(web, db, "S"), udp(web, db), sctp(web, db), ping(family.web, family.db)})
      CHECK(node.from_pod("web", asks) == told_sender(DROP_POLICY_INGRESS));
    for (const Packet& asks : {tcp(world, db, "S"), udp(world, db)})
      CHECK(node.to_pod("db", asks) == told_sender(DROP_POLICY_INGRESS));
    node.pod_policy("web", kWeb, 8, 0).pod_policy("db", kDb, 0, 0);
    for (const Packet& asks : {tcp(web, db, "S"), udp(web, db), udp(web, world)})
      CHECK(node.from_pod("web", asks) == told_sender(DROP_POLICY_EGRESS));
    // Nobody answers an answer that says no, and an answer to the world leaves no flow that would let it in.
    CHECK(node.from_pod("web", tcp(web, db, "R")) == dropped(DROP_POLICY_EGRESS));
    CHECK(node.flows().empty());
  }
}

TEST_CASE("what goes through in audit mode and ends of something else is not policy's to answer") {
  Datapath node;
  two_pods(node).policy(7, POLICY_ISOLATES | POLICY_AUDIT | POLICY_REJECT, {}).pod_policy("db", kDb, 0, 7);
  node.observe(0, {.events = 1U << EVENT_DROPPED});
  CHECK(node.to_pod("db", udp("203.0.113.9:999", "10.0.0.5:80")) == dropped(DROP_NOT_THIS_POD));
  // Its TTL has run out: an ICMP error, not a reset.
  CHECK(node.from_pod("web", tcp("10.0.0.5:999", "10.0.0.6:80", "S").ttl(1)) == told_sender(DROP_TTL_EXPIRED));
  const auto events = node.events(0);
  REQUIRE(events.size() == 2);
  CHECK(events[1].rule == 0);
}

TEST_CASE("a rule set that is not in force denies") {
  Datapath node;
  two_pods(node).pod_policy("db", kDb, 0, 99);
  CHECK(node.from_pod("web", tcp("10.0.0.5:999", "10.0.0.6:80", "S")) == dropped(DROP_POLICY_INGRESS));
}
