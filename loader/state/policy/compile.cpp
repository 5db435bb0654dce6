#include "loader/state/policy/compile.hpp"

#include <algorithm>
#include <optional>

#include "loader/state/policy/ports.hpp"
#include "loader/state/policy/subjects.hpp"
#include "loader/state/policy/words.hpp"
#include "maps/trie_key.hpp"

namespace sluice::loader::state::policy {
namespace {

using Action = kube::ClusterRule::Action;
using Classes = std::vector<std::uint32_t>;

/// Whom a rule is about, found once for all pods that have the rule.
struct Peers {
  bool everyone = false;
  std::vector<std::size_t> pods;  ///< indices into pod_classes
  Classes blocks;                 ///< ids of block classes
};

/// A rule of an object, before it is known whose it is.
struct SourceRule {
  Tier tier = Tier::kNetwork;
  maps::tier_verdict verdict{};
  Peers peers;
  std::vector<kube::PolicyPort> ports;  ///< none: every protocol and port
};

/// The rules of one object and direction, with whom they are for.
struct SourcePolicy {
  const kube::NetworkPolicy* network = nullptr;  ///< else a ClusterPolicy's
  std::string ns;
  const kube::ClusterPods* subject = nullptr;
  bool isolates = false;
  std::vector<SourceRule> rules;

  [[nodiscard]] bool selects(const PodClass& pod) const {
    if (network != nullptr) return pod.ns == ns && network->pods.matches(*pod.labels);
    return subject->namespaces.matches(*pod.ns_labels) && subject->pods.matches(*pod.labels);
  }
};

class Compiler {
 public:
  Compiler(const Cluster& cluster, std::string node, Numbering& numbers, bool managed, const NodePlan& plan)
      : cluster_(cluster),
        node_(std::move(node)),
        numbers_(numbers),
        managed_(managed),
        plan_(plan),
        subjects_(find_subjects(cluster, numbers)) {}

  Tables run(const std::vector<LocalPod>& local) {
    // Every class must exist before a rule is asked which of them it is about.
    fill_ipcache();
    for (const LocalPod& pod : local)
      for (const Address& address : pod.addresses) (void)subjects_.class_of(Prefix::host(address), nullptr, numbers_);
    read_policies();
    if (managed_) tables_.policies[POLICY_INIT] = {0, POLICY_IN_FORCE | POLICY_ISOLATES};
    for (const LocalPod& pod : local) add_local(pod);
    return std::move(tables_);
  }

 private:
  // ---- who has which address ----

  void put_address(const Prefix& prefix, std::uint32_t identity, std::uint32_t blocks) {
    tables_.ipcache[maps::ipcache_key_of(prefix)] = {{identity, blocks}, plan_.node_of(prefix)};
  }

  void fill_ipcache() {
    // IPv4 is ::ffff:0:0/96 to the trie: without an entry of its own it would be in ::/0.
    std::vector<Prefix> blocks{{Address::parse("0.0.0.0").value_or({}), 0}};
    blocks.insert(blocks.end(), subjects_.blocks.all().begin(), subjects_.blocks.all().end());
    for (const Prefix& block : blocks)
      put_address(block, maps::IDENTITY_WORLD, subjects_.class_of(block, nullptr, numbers_));
    for (const auto& [prefix, entry] : plan_.prefixes)
      put_address(prefix, entry.identity, subjects_.class_of(prefix, nullptr, numbers_));
    cluster_.each<kube::Pod>([&](const kube::Object& object, const kube::Pod& pod) {
      const auto known = subjects_.pods.find(object.id);
      if (known == subjects_.pods.end() || pod.node_name == node_) return;
      for (const Address& address : pod.ips)
        put_address(Prefix::host(address), subjects_.pod_classes[known->second].id,
                    subjects_.class_of(Prefix::host(address), nullptr, numbers_));
    });
    cluster_.each<kube::Node>([&](const kube::Object& object, const kube::Node& node) {
      const std::uint32_t identity = object.id.name == node_ ? maps::IDENTITY_HOST : maps::IDENTITY_REMOTE_NODE;
      for (const auto* list : {&node.internal_addresses, &node.external_addresses})
        for (const Address& address : *list)
          put_address(Prefix::host(address), identity,
                      subjects_.class_of(Prefix::host(address), &object.labels, numbers_));
    });
  }

  // ---- what the objects' rules are about ----

  void add_pods(Peers& peers, const kube::LabelSelector* namespaces, const std::string& ns,
                const kube::LabelSelector& pods) const {
    for (std::size_t i = 0; i < subjects_.pod_classes.size(); i++) {
      const PodClass& pod = subjects_.pod_classes[i];
      const bool in_namespace = namespaces != nullptr ? namespaces->matches(*pod.ns_labels) : pod.ns == ns;
      if (in_namespace && pods.matches(*pod.labels)) peers.pods.push_back(i);
    }
  }

  void add_block(Peers& peers, const Prefix& cidr, const std::vector<Prefix>& except) {
    const auto number = [&](const Prefix& block) { return subjects_.blocks.add(block); };
    const std::uint32_t wanted = number(cidr);
    for (const BlockClass& one : subjects_.block_classes) {
      const auto has = [&](std::uint32_t block) { return std::ranges::binary_search(one.blocks, block); };
      if (has(wanted) && std::ranges::none_of(except, [&](const Prefix& block) { return has(number(block)); }))
        peers.blocks.push_back(one.id);
    }
  }

  Peers peers_of(const kube::PolicyRule& rule, const std::string& ns) {
    Peers peers;
    peers.everyone = rule.peers.empty();
    for (const auto& peer : rule.peers) {
      if (const auto* pods = std::get_if<kube::PodPeer>(&peer))
        add_pods(peers, pods->namespaces ? &*pods->namespaces : nullptr, ns, pods->pods);
      else if (const auto* block = std::get_if<kube::IpBlock>(&peer))
        add_block(peers, block->cidr, block->except);
    }
    return peers;
  }

  Peers peers_of(const kube::ClusterRule& rule) {
    Peers peers;
    for (const auto& peer : rule.peers) {
      if (const auto* pods = std::get_if<kube::ClusterPods>(&peer)) {
        add_pods(peers, &pods->namespaces, {}, pods->pods);
      } else if (const auto* networks = std::get_if<kube::ClusterNetworks>(&peer)) {
        for (const Prefix& cidr : networks->cidrs) add_block(peers, cidr, {});
      } else if (const auto* nodes = std::get_if<kube::ClusterNodes>(&peer)) {
        for (const BlockClass& one : subjects_.block_classes)
          if (one.node_labels != nullptr && nodes->nodes.matches(*one.node_labels)) peers.blocks.push_back(one.id);
      }
    }
    return peers;
  }

  void add_network(const kube::Object& object, const kube::NetworkPolicy& policy, bool ingress) {
    if (!(ingress ? policy.isolates_ingress : policy.isolates_egress)) return;
    SourcePolicy source{&policy, object.id.ns, nullptr, true, {}};
    for (const kube::PolicyRule& rule : ingress ? policy.ingress : policy.egress) {
      // Of two that allow, either may decide: it goes by the number, so that another order makes no other set.
      const std::uint32_t number = rule_number(rule, object.id.ns);
      source.rules.push_back({Tier::kNetwork,
                              {number, static_cast<__u16>(number >> 16), maps::POLICY_ALLOW, 0},
                              peers_of(rule, object.id.ns),
                              rule.ports});
    }
    policies_[ingress].push_back(std::move(source));
  }

  void add_cluster(const kube::Object& object, const kube::ClusterPolicy& policy, bool ingress) {
    SourcePolicy source{nullptr, {}, &policy.subject, false, {}};
    const bool admin = policy.tier == kube::ClusterPolicy::Tier::kAdmin;
    std::size_t index = 0;
    for (const kube::ClusterRule& rule : ingress ? policy.ingress : policy.egress) {
      const auto verdict = rule.action == Action::kAccept ? maps::POLICY_ALLOW
                           : rule.action == Action::kDeny ? maps::POLICY_DENY
                                                          : maps::POLICY_PASS;
      source.rules.push_back({admin ? Tier::kAdmin : Tier::kBaseline,
                              {rule_number(object.id, ingress, ++index), 0, static_cast<__u8>(verdict), 0},
                              peers_of(rule),
                              rule.ports});
    }
    // Without rules it says nothing of this direction, and pods need no rule set for it.
    if (!source.rules.empty()) policies_[ingress].push_back(std::move(source));
  }

  void read_policies() {
    cluster_.each<kube::NetworkPolicy>([&](const kube::Object& object, const kube::NetworkPolicy& policy) {
      for (const bool ingress : {true, false}) add_network(object, policy, ingress);
    });
    // The lower priority number comes first; of equals the API leaves the order open, the name decides here.
    std::vector<std::pair<const kube::Object*, const kube::ClusterPolicy*>> ordered;
    cluster_.each<kube::ClusterPolicy>(
        [&](const kube::Object& object, const kube::ClusterPolicy& policy) { ordered.emplace_back(&object, &policy); });
    std::ranges::stable_sort(ordered, {}, [](const auto& one) { return one.second->priority; });
    for (const auto& [object, policy] : ordered)
      for (const bool ingress : {true, false}) add_cluster(*object, *policy, ingress);
  }

  // ---- the rules of one pod ----

  static std::optional<std::uint16_t> port_named(const PodClass& pod, const kube::PolicyPort& port,
                                                 std::uint8_t& proto) {
    for (const kube::ContainerPort& one : *pod.ports) {
      if (one.name != port.name || (port.protocol && *port.protocol != one.protocol)) continue;
      proto = static_cast<std::uint8_t>(one.protocol);
      return one.port;
    }
    return std::nullopt;
  }

  /// A named port of the destination differs from pod to pod: a rule for each number that it is.
  void add_named(std::vector<Rule>& rules, const Rule& base, const Peers& peers, const kube::PolicyPort& port) const {
    std::map<PortRange, Classes> by_port;
    const auto add = [&](const PodClass& pod) {
      std::uint8_t proto = 0;
      if (const auto number = port_named(pod, port, proto)) by_port[{proto, *number, *number}].push_back(pod.id);
    };
    if (peers.everyone) {
      for (const PodClass& pod : subjects_.pod_classes) add(pod);
    } else {
      for (const std::size_t i : peers.pods) add(subjects_.pod_classes[i]);
    }
    for (auto& [range, classes] : by_port) {
      Rule rule = base;
      rule.everyone = false;
      rule.classes = std::move(classes);
      rule.ports = {range};
      rules.push_back(std::move(rule));
    }
  }

  void add_rule(std::vector<Rule>& rules, const SourceRule& source, const PodClass& subject, bool ingress,
                std::uint16_t rank) const {
    Rule rule{source.tier, source.verdict, source.peers.everyone, source.peers.blocks, {}};
    if (source.tier != Tier::kNetwork) rule.verdict.rank = rank;
    for (const std::size_t i : source.peers.pods) rule.classes.push_back(subjects_.pod_classes[i].id);
    if (source.ports.empty()) rule.ports.push_back({});
    for (const kube::PolicyPort& port : source.ports) {
      if (port.name.empty()) {
        rule.ports.push_back(
            {static_cast<std::uint8_t>(port.protocol.value_or(kube::Protocol::kTcp)), port.first, port.last});
      } else if (ingress) {
        std::uint8_t proto = 0;
        if (const auto number = port_named(subject, port, proto)) rule.ports.push_back({proto, *number, *number});
      } else {
        add_named(rules, rule, source.peers, port);
      }
    }
    if (!rule.ports.empty()) rules.push_back(std::move(rule));
  }

  // ---- rule sets with numbers ----

  std::uint32_t set_of(const std::map<std::uint32_t, maps::peer_verdict>& peers) {
    if (peers.empty()) return 0;
    std::string content;
    for (const auto& [peer, verdict] : peers) {
      content.append(reinterpret_cast<const char*>(&peer), sizeof(peer));
      content.append(reinterpret_cast<const char*>(&verdict), sizeof(verdict));
    }
    const std::uint32_t set = numbers_.sets.of(content);
    for (const auto& [peer, verdict] : peers) tables_.peers[{set, peer}] = verdict;
    return set;
  }

  /// 0: no policy selects the pod for this direction.
  std::uint32_t rule_set(const PodClass& subject, bool ingress) {
    const auto [known, fresh] = done_.try_emplace({subject.id, ingress}, 0);
    if (!fresh) return known->second;
    std::vector<Rule> rules;
    maps::policy policy{0, POLICY_IN_FORCE};
    bool selected = false;
    std::uint16_t rank = 0;
    for (const SourcePolicy& source : policies_[ingress]) {
      if (!source.selects(subject)) continue;
      selected = true;
      if (source.isolates) policy.flags |= POLICY_ISOLATES;
      // Rules are in the order in which they are judged.
      for (const SourceRule& rule : source.rules) {
        if (rank == UINT16_MAX) tables_.too_many_rules = true;
        add_rule(rules, rule, subject, ingress, rank++);
      }
    }
    if (!selected) return 0;
    std::vector<std::pair<maps::policy_port_key, maps::policy_port>> entries;
    std::string content(reinterpret_cast<const char*>(&policy), sizeof(policy));
    for (const PortEntry& entry : split_ports(rules)) {
      if (entry.proto != 0) policy.port_lengths |= 1U << entry.length;
      entries.push_back({{0, maps::be16::from_host(entry.port), entry.proto, entry.length},
                         {set_of(entry.answer.peers), 0, entry.answer.everyone}});
      content.append(reinterpret_cast<const char*>(&entries.back().first), sizeof(maps::policy_port_key));
      content.append(reinterpret_cast<const char*>(&entries.back().second), sizeof(maps::policy_port));
    }
    const std::uint32_t id = numbers_.policies.of(content);
    if (id == 0) {
      tables_.no_policy_id = true;
      return POLICY_INIT;
    }
    tables_.policies[id] = policy;
    for (auto& [key, value] : entries) {
      key.policy = id;
      tables_.ports[key] = value;
    }
    return done_[{subject.id, ingress}] = id;
  }

  void add_local(const LocalPod& pod) {
    maps::pod_policy entry{{maps::IDENTITY_INIT, 0}, POLICY_INIT, POLICY_INIT};
    const auto known = subjects_.pods.find({"Pod", pod.ns, pod.name});
    if (pod.name.empty() || (!managed_ && known == subjects_.pods.end())) {
      entry = {{maps::IDENTITY_UNKNOWN, 0}, 0, 0};
    } else if (known != subjects_.pods.end()) {
      const PodClass& subject = subjects_.pod_classes[known->second];
      entry = {{subject.id, 0}, rule_set(subject, false), rule_set(subject, true)};
    }
    for (const Address& address : pod.addresses) {
      entry.classes.blocks = subjects_.class_of(Prefix::host(address), nullptr, numbers_);
      tables_.pods[address] = entry;
    }
  }

  const Cluster& cluster_;
  std::string node_;
  Numbering& numbers_;
  bool managed_;
  const NodePlan& plan_;
  Subjects subjects_;
  std::vector<SourcePolicy> policies_[2];                         ///< of egress, of ingress
  std::map<std::pair<std::uint32_t, bool>, std::uint32_t> done_;  ///< rule sets by class and direction
  Tables tables_;
};

}  // namespace

std::uint32_t PolicyIds::of(const std::string& content) {
  const auto known = numbers_.find(content);
  if (known != numbers_.end()) return known->second;
  for (std::uint32_t tried = first_; tried < end_; tried++) {
    const std::uint32_t id = next_;
    next_ = next_ + 1 < end_ ? next_ + 1 : first_;
    if (used_.contains(id)) continue;
    used_[id] = content;
    return numbers_[content] = id;
  }
  return 0;
}

void PolicyIds::give_back(std::uint32_t id) {
  const auto used = used_.find(id);
  if (used == used_.end()) return;
  numbers_.erase(used->second);
  used_.erase(used);
}

Tables compile(const Cluster& cluster, const std::string& node, const std::vector<LocalPod>& local, Numbering& numbers,
               bool managed, const NodePlan& plan) {
  return Compiler(cluster, node, numbers, managed, plan).run(local);
}

}  // namespace sluice::loader::state::policy
