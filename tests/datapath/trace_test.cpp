// bpfctl trace: it says what the programs do, and leaves nothing behind.
//
// SLUICE_FUZZ_SEED picks another random run (the default is always the same).
#include <doctest/doctest.h>
#include <netinet/in.h>

#include <cstdlib>
#include <random>

#include "maps/ipcache.h"
#include "maps/policy.h"
#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

constexpr std::uint32_t kWeb = 256, kDb = 257, kApi = 258, kBlock = 300, kNode = 9;

peer_verdict by(policy_tier tier, policy_verdict what, std::uint32_t rule) {
  peer_verdict verdict{};
  auto& said = tier == POLICY_TIER_ADMIN     ? verdict.admin
               : tier == POLICY_TIER_NETWORK ? verdict.network
                                             : verdict.baseline;
  said = {rule, static_cast<__u16>(rule), static_cast<__u8>(what), 0};
  return verdict;
}

Datapath& two_pods(Datapath& node) { return node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6"); }

long seed() {
  const char* text = std::getenv("SLUICE_FUZZ_SEED");
  return text != nullptr ? std::strtol(text, nullptr, 0) : 20260229;
}

/// A node with some of everything that decides about a packet, which changes from packet to packet.
class Busy {
 public:
  Datapath node{{.icmp_errors_per_second = 1'000'000, .overlay = true}};

  explicit Busy(unsigned long seed) : random_(seed) {
    two_pods(node).pod("api", "10.0.0.7", "fd00::7", {.mtu = 1300, .shaped = true});
    node.pod("device", "10.0.0.100", "fd00::100").tunnel_device("device").node(kNode, "192.0.2.9");
    node.known_address("10.9.0.0/16", 400, 0, kNode).known_address("fd09::/16", 400, 0, kNode);
    node.known_address("198.51.100.0/24", IDENTITY_WORLD, kBlock);
    for (const Family& family : kFamilies) {
      const auto backends = [&](int port) {
        return std::vector<SocketAddress>{family.at(family.db, port),
                                          family.at(family.v4 ? "10.0.0.7" : "fd00::7", port)};
      };
      const std::uint32_t id = family.v4 ? 10 : 20;
      const char* vip = family.v4 ? "10.96.0.1" : "fd96::1";
      node.service(family.at(vip, 80), IPPROTO_TCP, backends(8080), {.id = id, .flags = SERVICE_MAGLEV});
      node.service(family.at(vip, 53), IPPROTO_UDP, backends(53),
                   {.id = id + 1, .flags = SERVICE_MAGLEV, .affinity_s = 60});
      node.service(family.at(vip, 81), IPPROTO_TCP, {}, {.id = id + 2});
      node.service(family.at(vip, 82), IPPROTO_TCP, {}, {.id = id + 3, .flags = SERVICE_DROP_INSIDE});
      node.service(family.at(vip, 83), IPPROTO_TCP, {family.at(family.web, 8080)}, {.id = id + 4});  // itself, too
      node.service_address(vip);
    }
    change();
  }

  unsigned below(std::size_t limit) { return static_cast<unsigned>(random_() % limit); }

  /// Other rules for everyone; what flows were decided by is old.
  void change() {
    static constexpr std::uint32_t kClasses[] = {kWeb, kDb, kApi, kBlock, IDENTITY_WORLD, IDENTITY_HOST, 400};
    for (std::uint32_t id = 2; id < 8; id++) {
      std::vector<PolicyEntry> entries;
      for (unsigned i = below(4); i > 0; i--) {
        PolicyEntry entry{.proto = static_cast<std::uint8_t>(below(2) == 0 ? IPPROTO_TCP : IPPROTO_UDP),
                          .port = static_cast<std::uint16_t>(below(2) == 0 ? 8080 : 53),
                          .length = 16};
        for (unsigned peers = below(4); peers > 0; peers--)
          entry.peers.emplace_back(
              kClasses[below(std::size(kClasses))],
              by(static_cast<policy_tier>(below(3)), static_cast<policy_verdict>(1 + below(3)), 1 + below(1000)));
        entries.push_back(entry);
      }
      node.policy(id,
                  (below(3) != 0 ? POLICY_ISOLATES : 0) | (below(4) == 0 ? POLICY_AUDIT : 0) |
                      (below(4) == 0 ? POLICY_REJECT : 0),
                  entries);
    }
    for (const auto& [pod, identity] : {std::pair("web", kWeb), {"db", kDb}, {"api", kApi}})
      node.pod_policy(pod, identity, rules(), rules());
    if (below(8) == 0) node.backends_become(static_cast<backend_state>(below(3)));
  }

  Packet packet(const std::string& sender, const Family& family) {
    static constexpr int kPorts[] = {80, 53, 81, 82, 83, 99, 8080};
    const char* vip = family.v4 ? "10.96.0.1" : "fd96::1";
    const char* api = family.v4 ? "10.0.0.7" : "fd00::7";
    const char* far = family.v4 ? "10.9.0.7" : "fd09::7";
    const char* to[] = {vip, vip, vip, family.web, family.db, api, far, family.world};
    const char* own = sender == "web" ? family.web : sender == "db" ? family.db : api;
    const std::string from = family.at(below(30) == 0 ? family.world : own, 1000 + static_cast<int>(below(20)));
    const std::string there = family.at(to[below(std::size(to))], kPorts[below(std::size(kPorts))]);
    return with_oddities(below(2) == 0   ? tcp(from, there, flags())
                         : below(4) != 0 ? udp(from, there)
                                         : sctp(from, there));
  }

  /// An answer to somebody, or a packet from outside.
  Packet packet_to(const std::string& receiver, const Family& family) {
    const char* own = receiver == "web" ? family.web : family.db;
    const char* from[] = {family.world, family.host, family.v4 ? "10.9.0.7" : "fd09::7"};
    return with_oddities(tcp(family.at(from[below(3)], static_cast<int>(80 + below(3))),
                             family.at(own, static_cast<int>(below(2) == 0 ? 8080 : 1000 + below(20))), flags()));
  }

 private:
  std::uint32_t rules() { return below(2) == 0 ? 0 : 2 + below(7); }  // 8: not in force

  const char* flags() {
    static constexpr const char* kFlags[] = {"S", "S", "A", "SA", "FA", "R"};
    return kFlags[below(std::size(kFlags))];
  }

  Packet with_oddities(Packet packet) {
    if (below(20) == 0) packet = packet.ttl(1);
    if (below(20) == 0) packet = packet.payload(1350).dont_fragment();
    if (below(20) == 0) packet = packet.payload(1350);
    if (below(40) == 0) packet = packet.from_mac("02:00:00:00:00:99");
    return packet;
  }

  std::mt19937_64 random_;
};

}  // namespace

TEST_CASE("a trace and the programs agree on every packet, new connection or known, and the trace writes nothing") {
  const long start = seed();
  CAPTURE(start);
  Busy busy(static_cast<unsigned long>(start));
  unsigned kinds[Verdict::kOddity + 1] = {}, redecided = 0;
  constexpr int kPackets = 2000;
  for (int i = 0; i < kPackets; i++) {
    CAPTURE(i);
    if (busy.below(20) == 0) busy.change();
    const Family& family = kFamilies[busy.below(2)];
    const bool out = busy.below(4) != 0;
    static constexpr const char* kPods[] = {"web", "db", "api"};
    const std::string pod = kPods[busy.below(out ? 3 : 2)];
    const Packet packet = out ? busy.packet(pod, family) : busy.packet_to(pod, family);
    const hook hook = out ? HOOK_FROM_POD : HOOK_TO_POD;
    const bool looks = i % 20 == 0;
    const auto before = looks ? busy.node.contents() : std::map<std::string, Bytes>();
    const Verdict traced = busy.node.traced(hook, pod, packet);
    if (looks) CHECK(busy.node.contents() == before);
    const Outcome outcome = out ? busy.node.from_pod(pod, packet) : busy.node.to_pod(pod, packet);
    CHECK(traced == outcome.verdict);
    kinds[outcome.verdict.kind]++;
    redecided += busy.node.trace(hook, pod, packet).decision.continues;
  }
  for (const Verdict::Kind kind : {Verdict::kDelivered, Verdict::kThroughQdisc, Verdict::kToStack, Verdict::kTunnelled,
                                   Verdict::kDropped, Verdict::kTold})
    CHECK(kinds[kind] > kPackets / 100);
  CHECK(redecided > kPackets / 10);
}

TEST_CASE("a trace counts nothing, tells no observer and keeps no connection alive") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node).service(family.at(family.v4 ? "10.96.0.1" : "fd96::1", 80), IPPROTO_TCP,
                           {family.at(family.db, 8080)}, {.affinity_s = 60});
    node.policy(7, POLICY_ISOLATES | POLICY_AUDIT, {}).pod_policy("db", kDb, 0, 7);
    const std::string vip = family.at(family.v4 ? "10.96.0.1" : "fd96::1", 80);
    const Packet known = tcp(family.at(family.web, 999), family.at(family.db, 80), "S");
    const Packet served = tcp(family.at(family.web, 997), vip, "S");
    REQUIRE(node.from_pod("web", known) == delivered_to("db"));
    REQUIRE(node.from_pod("web", served).verdict == delivered_to("db"));
    node.age(known, 50);
    node.observe(0, {.events = 0xff});
    const auto before = node.contents();
    CHECK(node.traced(HOOK_FROM_POD, "web", known) == delivered_to("db"));
    CHECK(node.traced(HOOK_FROM_POD, "web", served) == delivered_to("db"));
    CHECK(node.traced(HOOK_FROM_POD, "web", tcp(family.at(family.web, 998), vip, "S")) == delivered_to("db"));
    CHECK(node.traced(HOOK_FROM_POD, "web", known.ttl(1)) == told_sender(DROP_TTL_EXPIRED));
    CHECK(node.traced(HOOK_FROM_POD, "web", known.payload(64).fragment(7, 0)) == delivered_to("db"));
    CHECK(node.traced(HOOK_TO_POD, "db", tcp(family.at(family.world, 9), family.at(family.db, 80), "S")) == to_stack());
    CHECK(node.contents() == before);
    CHECK(node.events(0).empty());
    // What a trace left would be seen by the next real packet.
    CHECK(node.from_pod("web", known.payload(64).fragment(7, 64)) == dropped(DROP_FRAGMENT_UNKNOWN));
  }
}

TEST_CASE("a trace tells which Service, backend, rule set, tier, rule and way a packet meets") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    const std::string vip = family.at(family.v4 ? "10.96.0.1" : "fd96::1", 80);
    two_pods(node).service(vip, IPPROTO_TCP, {family.at(family.db, 8080)}, {.id = 12});
    node.policy(7, POLICY_ISOLATES, {{IPPROTO_TCP, 8080, 16, {{kWeb, by(POLICY_TIER_NETWORK, POLICY_ALLOW, 31)}}}});
    node.policy(8, 0, {{IPPROTO_TCP, 8080, 16, {{kDb, by(POLICY_TIER_ADMIN, POLICY_DENY, 44)}}}});
    node.pod_policy("web", kWeb, 0, 0, kBlock).pod_policy("db", kDb, 0, 7);
    const Packet asks = tcp(family.at(family.web, 999), vip, "S");
    const auto allowed = node.trace(HOOK_FROM_POD, "web", asks);
    const decision& said = allowed.decision;
    CHECK(allowed.reason == DROP_NONE);
    CHECK(said.source.pod.ifindex == node.ifindex("web"));
    CHECK(said.target.pod.ifindex == node.ifindex("db"));
    CHECK(said.entry.service == 12);
    CHECK(said.entry.to.dport == be16::from_host(8080));
    CHECK(said.entry.to.sport == be16::from_host(999));
    CHECK(said.egress.policy == 0);
    CHECK(said.ingress.policy == 7);
    CHECK(said.ingress.identity == kWeb);
    CHECK(said.ingress.blocks == kBlock);
    CHECK(said.ingress.rule == 31);
    CHECK(said.ingress.tier == POLICY_TIER_NETWORK);
    CHECK(said.ingress.denied == 0);
    CHECK(said.entry.half[said.dir].delivery == FLOW_TO_PEER);
    CHECK(said.entry.half[said.dir].egress_ifindex == node.ifindex("db"));

    node.pod_policy("web", kWeb, 8, 0);
    const auto denied = node.trace(HOOK_FROM_POD, "web", asks);
    CHECK(denied.reason == DROP_POLICY_EGRESS);
    CHECK(denied.decision.egress.rule == 44);
    CHECK(denied.decision.egress.tier == POLICY_TIER_ADMIN);
    CHECK(denied.decision.egress.denied == 1);
    CHECK(denied.decision.ingress.policy == 0);  // it was not asked
    CHECK(denied.decision.entry.service == 12);
  }
}

TEST_CASE("a trace takes a packet of another node's pod for come by that node's tunnel") {
  Datapath node({.overlay = true});
  two_pods(node).pod("device", "10.0.0.100", "fd00::100").tunnel_device("device").node(kNode, "192.0.2.9");
  node.known_address("10.9.0.0/16", 400, 0, kNode).policy(7, POLICY_ISOLATES, {});
  const Packet packet = tcp("10.9.0.7:999", "10.0.0.6:80", "S");
  CHECK(node.traced(HOOK_FROM_OVERLAY, "device", packet) == delivered_to("db"));
  CHECK(node.traced(HOOK_FROM_OVERLAY, "device", tcp("10.9.0.7:999", "10.0.0.8:80", "S")) == dropped(DROP_NO_SUCH_POD));
  CHECK(node.traced(HOOK_FROM_OVERLAY, "device", tcp("10.8.0.7:999", "10.0.0.6:80", "S")) ==
        dropped(DROP_FOREIGN_TUNNEL));
  node.pod_policy("db", kDb, 0, 7);
  CHECK(node.traced(HOOK_FROM_OVERLAY, "device", packet) == dropped(DROP_POLICY_INGRESS));
  CHECK(node.flows().empty());
}

TEST_CASE("what a trace is told of the constants is what the loaded programs have") {
  Datapath node({.icmp_source_v4 = "192.0.2.77"});
  two_pods(node);
  const Packet sent = udp("10.0.0.5:999", "10.0.0.6:53").ttl(1);
  CHECK(node.trace(HOOK_FROM_POD, "web", sent).frame ==
        icmp_about("192.0.2.77", "10.0.0.5", 11, 0, 0, sent).frame(sluice::loader::kHostMac, node.mac("web")));
}

TEST_CASE("a trace and the programs agree on what the world sends, and the trace writes nothing") {
  const long start = seed();
  CAPTURE(start);
  std::mt19937_64 random(static_cast<unsigned long>(start));
  const auto below = [&](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
  Datapath node({.icmp_errors_per_second = 1'000'000, .overlay = true});
  two_pods(node).pod("up", "10.0.0.99", "fd00::99").pod("device", "10.0.0.100", "fd00::100");
  node.forget_pod("up").uplink("up").tunnel_device("device").node(kNode, "192.0.2.9");
  node.known_address("10.9.0.0/16", 400, 0, kNode).known_address("fd09::/16", 400, 0, kNode);
  for (const Family& family : kFamilies) {
    const std::uint32_t id = family.v4 ? 10 : 20;
    const auto open = [&](int port, const std::vector<SocketAddress>& backends, ServiceOptions options) {
      options.id = id + static_cast<std::uint32_t>(port % 10);
      options.flags |= SERVICE_OUTSIDE;
      node.service(family.at(family.host, port), IPPROTO_TCP, backends, options);
    };
    open(30080, {family.at(family.web, 8080)}, {});
    open(30081, {family.at(family.v4 ? "10.9.0.7" : "fd09::7", 8080)}, {.affinity_s = 60});
    open(30082, {}, {});
    open(30083, {family.at(family.web, 8080)}, {.flags = SERVICE_SOURCE_RANGES, .source_ranges = {"198.51.100.77"}});
  }
  node.policy(7, POLICY_ISOLATES, {}).policy(8, POLICY_ISOLATES | POLICY_REJECT, {});
  unsigned kinds[Verdict::kOddity + 1] = {};
  constexpr int kPackets = 400;
  for (int i = 0; i < kPackets; i++) {
    CAPTURE(i);
    const Family& family = kFamilies[below(2)];
    if (below(10) == 0) node.pod_policy("web", kWeb, 0, static_cast<std::uint32_t>(below(2) == 0 ? 0 : 7 + below(2)));
    static constexpr const char* kFlags[] = {"S", "A", "FA", "R"};
    const char* to[] = {family.host, family.host, family.host, family.web};
    Packet packet = tcp(family.at(family.world, static_cast<int>(5000 + below(20))),
                        family.at(to[below(4)], static_cast<int>(30080 + below(6))), kFlags[below(4)]);
    if (below(10) == 0) packet = packet.ttl(1);
    const bool looks = i % 20 == 0;
    const auto before = looks ? node.contents() : std::map<std::string, Bytes>();
    const Verdict traced = node.traced(HOOK_FROM_UPLINK, "up", packet);
    if (looks) CHECK(node.contents() == before);
    const Outcome outcome = node.from_uplink("up", packet);
    CHECK(traced == outcome.verdict);
    kinds[outcome.verdict.kind]++;
  }
  for (const Verdict::Kind kind :
       {Verdict::kDelivered, Verdict::kToStack, Verdict::kTunnelled, Verdict::kDropped, Verdict::kTold})
    CHECK(kinds[kind] > kPackets / 100);
}
