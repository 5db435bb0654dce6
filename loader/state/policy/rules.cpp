#include "loader/state/policy/rules.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include "loader/state/policy/words.hpp"

namespace sluice::loader::state::policy {
namespace {

using Action = kube::ClusterRule::Action;

void add_matching(Peers& peers, const std::vector<const PodClass*>& classes, const kube::LabelSelector& pods) {
  for (const PodClass* pod : classes)
    if (pods.matches(pod->labels)) peers.pods.push_back(pod);
}

/// A namespace's labels are asked once for all of its classes, which have the same ones.
void add_pods(Peers& peers, const Subjects& subjects, const kube::LabelSelector& namespaces,
              const kube::LabelSelector& pods) {
  subjects.each_namespace([&](const kube::Labels& labels, const std::vector<const PodClass*>& classes) {
    if (namespaces.matches(labels)) add_matching(peers, classes, pods);
  });
}

void add_blocks(Peers& peers, const std::vector<std::uint32_t>& classes) {
  peers.blocks.insert(peers.blocks.end(), classes.begin(), classes.end());
}

Peers peers_of(const kube::PolicyRule& rule, const std::string& ns, const Subjects& subjects,
               const Addresses& addresses) {
  Peers peers;
  peers.everyone = rule.peers.empty();
  for (const auto& peer : rule.peers) {
    if (const auto* block = std::get_if<kube::IpBlock>(&peer)) {
      add_blocks(peers, addresses.classes_in(block->cidr, block->except));
      continue;
    }
    const auto& pods = std::get<kube::PodPeer>(peer);
    if (pods.namespaces)
      add_pods(peers, subjects, *pods.namespaces, pods.pods);
    else
      add_matching(peers, subjects.classes_in(ns), pods.pods);
  }
  return peers;
}

Peers peers_of(const kube::ClusterRule& rule, const std::string& /*ns*/, const Subjects& subjects,
               const Addresses& addresses) {
  Peers peers;
  for (const auto& peer : rule.peers) {
    if (const auto* pods = std::get_if<kube::ClusterPods>(&peer)) {
      add_pods(peers, subjects, pods->namespaces, pods->pods);
    } else if (const auto* networks = std::get_if<kube::ClusterNetworks>(&peer)) {
      for (const Prefix& cidr : networks->cidrs) add_blocks(peers, addresses.classes_in(cidr, {}));
    } else if (const auto* nodes = std::get_if<kube::ClusterNodes>(&peer)) {
      addresses.each_node([&](std::uint32_t id, const kube::Labels& labels) {
        if (nodes->nodes.matches(labels)) peers.blocks.push_back(id);
      });
    }
  }
  return peers;
}

/// So many changed classes cost more to ask each rule about than the rules cost to be found anew.
constexpr std::size_t kManyClasses = 100;

bool any_of(const std::vector<const PodClass*>& changed, auto&& matches) {
  return changed.size() > kManyClasses ||
         std::ranges::any_of(changed, [&](const PodClass* one) { return matches(*one); });
}

/// The changed classes are among the rule's peers, or were.
bool touched(const kube::PolicyRule& rule, const std::string& ns, const std::vector<const PodClass*>& changed,
             const Addresses& addresses) {
  return std::ranges::any_of(rule.peers, [&](const auto& peer) {
    if (const auto* block = std::get_if<kube::IpBlock>(&peer)) return addresses.classes_changed_in(block->cidr);
    const auto& pods = std::get<kube::PodPeer>(peer);
    return any_of(changed, [&](const PodClass& one) {
      return (pods.namespaces ? pods.namespaces->matches(one.ns_labels) : one.ns == ns) &&
             pods.pods.matches(one.labels);
    });
  });
}

bool touched(const kube::ClusterRule& rule, const std::string& /*ns*/, const std::vector<const PodClass*>& changed,
             const Addresses& addresses) {
  return std::ranges::any_of(rule.peers, [&](const auto& peer) {
    if (const auto* pods = std::get_if<kube::ClusterPods>(&peer))
      return any_of(changed, [&](const PodClass& one) {
        return pods->namespaces.matches(one.ns_labels) && pods->pods.matches(one.labels);
      });
    if (const auto* networks = std::get_if<kube::ClusterNetworks>(&peer))
      return std::ranges::any_of(networks->cidrs,
                                 [&](const Prefix& cidr) { return addresses.classes_changed_in(cidr); });
    return std::holds_alternative<kube::ClusterNodes>(peer) && addresses.node_classes_changed();
  });
}

/// Such a rule is asked for the port of every class there is.
bool asks_all_classes(const SourceRule& rule) {
  return rule.peers.everyone &&
         std::ranges::any_of(*rule.ports, [](const kube::PolicyPort& port) { return !port.name.empty(); });
}

maps::policy_verdict verdict_of(Action action) {
  return action == Action::kAccept ? maps::POLICY_ALLOW
         : action == Action::kDeny ? maps::POLICY_DENY
                                   : maps::POLICY_PASS;
}

std::optional<std::uint16_t> port_named(const PodClass& pod, const kube::PolicyPort& port, std::uint8_t& proto) {
  for (const kube::ContainerPort& one : pod.ports) {
    if (one.name != port.name || (port.protocol && *port.protocol != one.protocol)) continue;
    proto = static_cast<std::uint8_t>(one.protocol);
    return one.port;
  }
  return std::nullopt;
}

/// A named port of the destination differs from pod to pod: a rule for each number that it is.
void add_named(std::vector<Rule>& rules, const Rule& base, const Peers& peers, const Subjects& subjects,
               const kube::PolicyPort& port) {
  std::map<PortRange, std::vector<std::uint32_t>> by_port;
  const auto add = [&](const PodClass& pod) {
    std::uint8_t proto = 0;
    if (const auto number = port_named(pod, port, proto)) by_port[{proto, *number, *number}].push_back(pod.id);
  };
  if (peers.everyone) {
    for (const auto& [content, pod] : subjects.classes()) add(pod);
  } else {
    for (const PodClass* pod : peers.pods) add(*pod);
  }
  for (auto& [range, classes] : by_port) {
    Rule rule = base;
    rule.everyone = false;
    rule.classes = std::move(classes);
    rule.ports = {range};
    rules.push_back(std::move(rule));
  }
}

}  // namespace

bool selects(const kube::Object& policy, const PodClass& pod) {
  if (const auto* network = std::get_if<kube::NetworkPolicy>(&policy.body))
    return pod.ns == policy.id.ns && network->pods.matches(pod.labels);
  const auto& subject = std::get<kube::ClusterPolicy>(policy.body).subject;
  return subject.namespaces.matches(pod.ns_labels) && subject.pods.matches(pod.labels);
}

bool SourcePolicy::speaks_of(bool ingress) const {
  if (const auto* network = std::get_if<kube::NetworkPolicy>(&object_->body))
    return ingress ? network->isolates_ingress : network->isolates_egress;
  const auto& cluster = std::get<kube::ClusterPolicy>(object_->body);
  return !(ingress ? cluster.ingress : cluster.egress).empty();
}

bool SourcePolicy::isolates() const { return std::holds_alternative<kube::NetworkPolicy>(object_->body); }

std::vector<Prefix> SourcePolicy::blocks() const {
  std::vector<Prefix> blocks;
  if (const auto* network = std::get_if<kube::NetworkPolicy>(&object_->body)) {
    for (const auto* rules : {&network->ingress, &network->egress})
      for (const auto& rule : *rules)
        for (const auto& peer : rule.peers)
          if (const auto* block = std::get_if<kube::IpBlock>(&peer)) {
            blocks.push_back(block->cidr);
            blocks.insert(blocks.end(), block->except.begin(), block->except.end());
          }
  } else {
    const auto& cluster = std::get<kube::ClusterPolicy>(object_->body);
    for (const auto* rules : {&cluster.ingress, &cluster.egress})
      for (const auto& rule : *rules)
        for (const auto& peer : rule.peers)
          if (const auto* networks = std::get_if<kube::ClusterNetworks>(&peer))
            blocks.insert(blocks.end(), networks->cidrs.begin(), networks->cidrs.end());
  }
  return blocks;
}

void SourcePolicy::each_rule(bool ingress, auto&& work) const {
  if (const auto* network = std::get_if<kube::NetworkPolicy>(&object_->body))
    for (const auto& rule : ingress ? network->ingress : network->egress) work(rule);
  else if (const auto* cluster = std::get_if<kube::ClusterPolicy>(&object_->body))
    for (const auto& rule : ingress ? cluster->ingress : cluster->egress) work(rule);
}

const std::vector<SourceRule>& SourcePolicy::rules(bool ingress, const Subjects& subjects, const Addresses& addresses,
                                                   std::uint64_t version) {
  Side& side = sides_[ingress ? 1 : 0];
  if (side.version != 0) return side.rules;
  side.version = version;
  const auto* cluster = std::get_if<kube::ClusterPolicy>(&object_->body);
  const Tier tier = cluster == nullptr                                   ? Tier::kNetwork
                    : cluster->tier == kube::ClusterPolicy::Tier::kAdmin ? Tier::kAdmin
                                                                         : Tier::kBaseline;
  each_rule(ingress, [&](const auto& rule) {
    maps::tier_verdict verdict{0, 0, maps::POLICY_ALLOW, 0};
    if constexpr (requires { rule.action; }) {
      verdict.rule = rule_number(object_->id, ingress, side.rules.size() + 1);
      verdict.verdict = static_cast<__u8>(verdict_of(rule.action));
    } else {
      // Of two that allow, either may decide: it goes by the number, so that another order makes no other set.
      verdict.rule = rule_number(rule, object_->id.ns);
      verdict.rank = static_cast<__u16>(verdict.rule >> 16);
    }
    side.rules.push_back({tier, verdict, peers_of(rule, object_->id.ns, subjects, addresses), &rule.ports});
  });
  return side.rules;
}

void SourcePolicy::follow(const std::vector<const PodClass*>& changed, const Subjects& subjects,
                          const Addresses& addresses, std::uint64_t version) {
  for (const bool ingress : {false, true}) {
    Side& side = sides_[ingress ? 1 : 0];
    if (side.version == 0) continue;
    auto known = side.rules.begin();
    each_rule(ingress, [&](const auto& rule) {
      SourceRule& one = *known++;
      if (!ingress && !changed.empty() && asks_all_classes(one)) side.version = version;
      if (!touched(rule, object_->id.ns, changed, addresses)) return;
      Peers now = peers_of(rule, object_->id.ns, subjects, addresses);
      if (now == one.peers) return;
      one.peers = std::move(now);
      side.version = version;
    });
  }
}

void add_rule(std::vector<Rule>& rules, const SourceRule& source, const PodClass& subject, const Subjects& subjects,
              bool ingress, std::uint16_t rank) {
  Rule rule{source.tier, source.verdict, source.peers.everyone, source.peers.blocks, {}};
  if (source.tier != Tier::kNetwork) rule.verdict.rank = rank;
  for (const PodClass* pod : source.peers.pods) rule.classes.push_back(pod->id);
  if (source.ports->empty()) rule.ports.push_back({});
  for (const kube::PolicyPort& port : *source.ports) {
    if (port.name.empty()) {
      rule.ports.push_back(
          {static_cast<std::uint8_t>(port.protocol.value_or(kube::Protocol::kTcp)), port.first, port.last});
    } else if (ingress) {
      std::uint8_t proto = 0;
      if (const auto number = port_named(subject, port, proto)) rule.ports.push_back({proto, *number, *number});
    } else {
      add_named(rules, rule, source.peers, subjects, port);
    }
  }
  if (!rule.ports.empty()) rules.push_back(std::move(rule));
}

}  // namespace sluice::loader::state::policy
