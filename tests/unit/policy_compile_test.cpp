// The compiled policy against the oracle: random clusters, policies and probes, and the ports split.
#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "loader/state/policy/compile.hpp"
#include "loader/state/policy/ports.hpp"
#include "tests/unit/policy_oracle.hpp"

using namespace sluice;
using namespace sluice::loader::kube;
using namespace sluice::loader::state::policy;
using sluice::loader::state::Cluster;
using sluice::test::End;
using sluice::test::oracle_allows;

namespace {

const std::string kNode = "node-1";

/// The datapath's own way through the maps: bpf/lib/policy.h, with tables for maps.
bool denies(const Tables& tables, std::uint32_t id, std::uint32_t identity, std::uint32_t blocks, Protocol protocol,
            std::uint16_t port) {
  if (id == 0) return false;
  const auto policy = tables.policies.find(id);
  if (policy == tables.policies.end() || (policy->second.flags & POLICY_IN_FORCE) == 0) return true;
  const auto find = [&](std::uint8_t proto, std::uint16_t prefix, unsigned length) -> const maps::policy_port* {
    const auto found = tables.ports.find({id, maps::be16::from_host(prefix), proto, static_cast<__u8>(length)});
    return found != tables.ports.end() ? &found->second : nullptr;
  };
  const maps::policy_port* entry = nullptr;
  for (int length = 16; length >= 0 && entry == nullptr; length--)
    if ((policy->second.port_lengths & 1U << length) != 0)
      entry = find(static_cast<std::uint8_t>(protocol), static_cast<std::uint16_t>(port & (0xffff0000U >> length)),
                   static_cast<unsigned>(length));
  if (entry == nullptr) entry = find(0, 0, 0);
  maps::peer_verdict said{};
  if (entry != nullptr) {
    said = entry->everyone;
    for (const std::uint32_t peer : {identity, blocks}) {
      if (entry->set == 0 || peer == 0) continue;
      const auto found = tables.peers.find({entry->set, peer});
      if (found != tables.peers.end()) maps::policy_combine(&said, &found->second);
    }
  }
  return maps::policy_allows(maps::policy_deciding_tier(&said, policy->second.flags), policy->second.flags) == 0;
}

struct Classes {
  std::uint32_t identity, blocks;
};

/// The longest prefix of ipcache, as the trie finds it.
Classes classes_of(const Tables& tables, const End& end) {
  const auto pod = tables.pods.find(end.address);
  if (pod != tables.pods.end()) return {pod->second.identity, pod->second.blocks};
  for (unsigned length = 128;; length--) {
    maps::ipcache_key key{length, {}};
    const maps::addr wire = Prefix{end.address, 128}.address.wire();
    std::uint8_t bytes[16];
    std::memcpy(bytes, wire.word, 16);
    for (unsigned bit = length; bit < 128; bit++) bytes[bit / 8] &= static_cast<std::uint8_t>(~(0x80 >> bit % 8));
    std::memcpy(key.word, bytes, 16);
    const auto found = tables.ipcache.find(key);
    if (found != tables.ipcache.end()) return {found->second.identity, found->second.blocks};
    if (length == 0) return {maps::IDENTITY_WORLD, 0};
  }
}

bool tables_allow(const Tables& tables, const End& client, const End& server, Protocol protocol, std::uint16_t port) {
  const auto from = tables.pods.find(client.address), to = tables.pods.find(server.address);
  const Classes client_classes = classes_of(tables, client), server_classes = classes_of(tables, server);
  if (from != tables.pods.end() && to != tables.pods.end() && client.pod == server.pod) return true;
  if (from != tables.pods.end() &&
      denies(tables, from->second.egress, server_classes.identity, server_classes.blocks, protocol, port))
    return false;
  if (to == tables.pods.end() || client_classes.identity == maps::IDENTITY_HOST) return true;
  return !denies(tables, to->second.ingress, client_classes.identity, client_classes.blocks, protocol, port);
}

/// Small random worlds, in which much overlaps.
class World {
 public:
  explicit World(unsigned seed) : random_(seed) {
    for (const char* ns : {"a", "b", "c"})
      put({"Namespace", "", ns}, {{"kubernetes.io/metadata.name", ns}, {"team", some({"x", "y"})}}, Namespace{});
    for (int i = 1; i <= 2; i++) {
      Node node;
      node.internal_addresses = {address("172.18.0.1" + std::to_string(i))};
      put({"Node", "", "node-" + std::to_string(i)}, {{"role", some({"edge", "inner"})}}, node);
    }
    for (int i = 0; i < 9; i++) add_pod(i);
    for (int i = 0; i < 6; i++) change();
  }

  /// One thing becomes another: a policy, a pod's or a namespace's labels.
  void change() {
    const int what = number(10);
    if (what < 6)
      put({"NetworkPolicy", some({"a", "b", "c"}), "p" + std::to_string(number(4))}, {}, network_policy());
    else if (what < 8)
      put({"ClusterNetworkPolicy", "", "c" + std::to_string(number(3))}, {}, cluster_policy());
    else
      add_pod(number(9));
  }

  [[nodiscard]] const Cluster& cluster() const { return cluster_; }

  [[nodiscard]] std::vector<LocalPod> local() const {
    std::vector<LocalPod> pods;
    cluster_.each<Pod>([&](const Object& object, const Pod& pod) {
      if (pod.node_name == kNode) pods.push_back({object.id.ns, object.id.name, pod.ips});
    });
    return pods;
  }

  End end() {
    std::vector<End> all;
    const bool v4 = number(4) != 0;
    cluster_.each<Pod>([&](const Object& object, const Pod& pod) {
      all.push_back({&object, nullptr, pod.ips[v4 ? 0 : 1]});
    });
    cluster_.each<Node>([&](const Object& object, const Node& node) {
      all.push_back({nullptr, &object, node.internal_addresses[0]});
    });
    for (const char* one : {"10.1.2.3", "10.1.9.9", "10.9.9.9", "192.0.2.1", "2001:db8::1", "fd00::99"})
      all.push_back({nullptr, nullptr, address(one)});
    return all[static_cast<std::size_t>(number(static_cast<int>(all.size())))];
  }

  int number(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }
  Protocol protocol() {
    return std::array{Protocol::kTcp, Protocol::kUdp, Protocol::kSctp}[static_cast<std::size_t>(number(3))];
  }
  std::uint16_t port() {
    return std::array<std::uint16_t, 6>{80, 81, 443, 1000, 8080, 65535}[static_cast<std::size_t>(number(6))];
  }

 private:
  static Address address(const std::string& text) { return *Address::parse(text); }
  std::string some(const std::vector<std::string>& words) {
    return words[static_cast<std::size_t>(number(static_cast<int>(words.size())))];
  }

  void put(const ObjectId& id, const Labels& labels, const Body& body) {
    auto object = std::make_shared<Object>();
    object->id = id;
    object->labels = labels;
    object->body = body;
    (void)cluster_.take({{{id, std::move(object)}}, {}});
  }

  void add_pod(int i) {
    Pod pod;
    pod.node_name = i % 3 == 2 ? "node-2" : kNode;
    pod.ips = {address("10." + std::to_string(i % 2) + ".2." + std::to_string(i + 1)),
               address("fd00::" + std::to_string(i + 1))};
    if (number(2) != 0) pod.ports.push_back({"http", protocol(), port(), 0, {}});
    if (number(2) != 0) pod.ports.push_back({"http", protocol(), port(), 0, {}});
    put({"Pod", std::array{"a", "b", "c"}[static_cast<std::size_t>(i / 3)], "pod-" + std::to_string(i)},
        {{"app", some({"web", "db"})}, {"tier", some({"1", "2", "3"})}}, pod);
  }

  LabelSelector selector(const std::string& key, const std::vector<std::string>& values) {
    using Operator = LabelRequirement::Operator;
    switch (number(5)) {
      case 0:
        return {};
      case 1:
        return {{{key, Operator::kIn, {some(values)}}}};
      case 2:
        return {{{key, Operator::kNotIn, {some(values)}}}};
      case 3:
        return {{{key, Operator::kExists, {}}}};
      default:
        return {{{key + (number(2) != 0 ? "" : "-other"), Operator::kDoesNotExist, {}}}};
    }
  }
  LabelSelector pods() { return selector(some({"app", "tier"}), {"web", "db", "1", "2"}); }
  LabelSelector namespaces() { return selector("team", {"x", "y"}); }

  Prefix block() {
    return *Prefix::parse(some({"10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "0.0.0.0/0", "::/0",
                                "fd00::/64", "172.18.0.0/24", "172.18.0.11/32", "192.0.2.0/24"}));
  }

  std::vector<PolicyPort> ports() {
    std::vector<PolicyPort> all;
    for (int count = number(3); count > 0; count--) {
      PolicyPort one;
      one.protocol = protocol();
      if (number(4) == 0) {
        one.name = "http";
      } else if (number(3) != 0) {
        one.first = port();
        one.last = static_cast<std::uint16_t>(number(2) != 0 ? one.first : std::max<int>(one.first, port()));
      }
      all.push_back(one);
    }
    return all;
  }

  PolicyRule rule() {
    PolicyRule rule;
    for (int count = number(3); count > 0; count--) {
      if (number(2) != 0) {
        PodPeer peer;
        if (number(2) != 0) peer.namespaces = namespaces();
        peer.pods = pods();
        rule.peers.emplace_back(peer);
        continue;
      }
      IpBlock peer{block(), {}};
      for (int tries = number(3); tries > 0; tries--)
        if (const Prefix except = block(); except.length > peer.cidr.length && peer.cidr.contains(except.address))
          peer.except.push_back(except);
      rule.peers.emplace_back(peer);
    }
    rule.ports = ports();
    return rule;
  }

  NetworkPolicy network_policy() {
    NetworkPolicy policy;
    policy.pods = pods();
    policy.isolates_ingress = number(3) != 0;
    policy.isolates_egress = number(2) != 0;
    for (int count = policy.isolates_ingress ? number(3) : 0; count > 0; count--) policy.ingress.push_back(rule());
    for (int count = policy.isolates_egress ? number(3) : 0; count > 0; count--) policy.egress.push_back(rule());
    return policy;
  }

  ClusterRule cluster_rule() {
    ClusterRule rule;
    rule.action = std::array{ClusterRule::Action::kAccept, ClusterRule::Action::kDeny,
                             ClusterRule::Action::kPass}[static_cast<std::size_t>(number(3))];
    for (int count = number(2) + 1; count > 0; count--) {
      if (const int what = number(3); what == 0)
        rule.peers.emplace_back(ClusterPods{namespaces(), pods()});
      else if (what == 1)
        rule.peers.emplace_back(ClusterNetworks{{block(), block()}});
      else
        rule.peers.emplace_back(ClusterNodes{selector("role", {"edge", "inner"})});
    }
    rule.ports = ports();
    return rule;
  }

  ClusterPolicy cluster_policy() {
    ClusterPolicy policy;
    policy.tier = number(2) != 0 ? ClusterPolicy::Tier::kAdmin : ClusterPolicy::Tier::kBaseline;
    policy.priority = static_cast<std::uint16_t>(number(3));
    policy.subject = {namespaces(), pods()};
    for (int count = number(3); count > 0; count--) policy.ingress.push_back(cluster_rule());
    for (int count = number(3); count > 0; count--) policy.egress.push_back(cluster_rule());
    return policy;
  }

  std::mt19937 random_;
  Cluster cluster_;
};

}  // namespace

TEST_CASE("compiled policy and the oracle agree on every probe, after every change") {
  std::size_t probes = 0, allowed = 0;
  for (unsigned seed = 1; seed <= 60; seed++) {
    World world(seed);
    Numbering numbers;
    for (int update = 0; update < 10; update++) {
      const Tables tables = compile(world.cluster(), kNode, world.local(), numbers);
      for (int probe = 0; probe < 300; probe++) {
        const End client = world.end(), server = world.end();
        if (client.address.is_v4() != server.address.is_v4()) continue;
        const Protocol protocol = world.protocol();
        const std::uint16_t port = world.port();
        const bool want = oracle_allows(world.cluster(), kNode, client, server, protocol, port);
        const bool got = tables_allow(tables, client, server, protocol, port);
        probes++;
        allowed += want ? 1 : 0;
        if (want == got) continue;
        FAIL_CHECK("seed ", seed, " update ", update, ": ", client.address.text(), " to ", server.address.text(), " ",
                   std::string(text(protocol)), " ", port, ": the oracle ", std::string(want ? "allows" : "denies"));
      }
      world.change();
    }
  }
  MESSAGE(probes, " probes, ", allowed, " of them allowed");
  CHECK(probes >= 100'000);
  CHECK(allowed > probes / 10);
  CHECK(allowed < probes - probes / 10);
}

TEST_CASE("an unchanged cluster has the same numbers, and pods with the same rules share them") {
  World world(3);
  Numbering numbers;
  const Tables one = compile(world.cluster(), kNode, world.local(), numbers);
  const Tables two = compile(world.cluster(), kNode, world.local(), numbers);
  CHECK(one.pods == two.pods);
  CHECK(one.peers.size() == two.peers.size());
  CHECK(one.ports.size() == two.ports.size());
  CHECK(one.policies.size() == two.policies.size());
}

TEST_CASE("a range of ports is the fewest prefixes, and the most specific holds the whole answer") {
  Rule all, some;
  all.verdict = {0, 0, maps::POLICY_ALLOW, 0};
  some.verdict = all.verdict;
  all.classes = {1};
  all.ports = {{6, 1000, 1003}};
  some.classes = {2};
  some.ports = {{6, 1002, 1002}};
  const auto entries = split_ports({all, some});
  std::string text;
  for (const PortEntry& entry : entries) {
    text += std::to_string(entry.port) + "/" + std::to_string(entry.length) + ":";
    for (const auto& [peer, verdict] : entry.answer.peers) text += std::to_string(peer);
    text += " ";
  }
  CHECK(text == "1000/15:1 1002/16:12 1003/16:1 ");
}
