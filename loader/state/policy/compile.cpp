#include "loader/state/policy/compile.hpp"

#include <algorithm>
#include <set>

#include "loader/state/policy/mode.hpp"
#include "loader/state/policy/ports.hpp"
#include "maps/bytes.hpp"
#include "maps/trie_key.hpp"

namespace sluice::loader::state::policy {
namespace {

using maps::same_bytes;

template <typename T>
void append(std::string& content, const T& value) {
  content.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

/// In the order in which they are judged: the lower priority number comes first; of equals the API leaves the order
/// open, the kind and the name decide here.
std::vector<kube::ObjectPtr> cluster_policies(const Cluster& cluster) {
  std::vector<kube::ObjectPtr> ordered;
  for (const char* kind : {"AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "ClusterNetworkPolicy"})
    cluster.each_in<kube::ClusterPolicy>(
        kind, {}, [&](const kube::ObjectPtr& object, const kube::ClusterPolicy&) { ordered.push_back(object); });
  std::ranges::stable_sort(ordered, {},
                           [](const auto& object) { return std::get<kube::ClusterPolicy>(object->body).priority; });
  return ordered;
}

}  // namespace

std::string content_of(const PeerSet& set) {
  std::string content;
  for (const auto& [peer, verdict] : set) {
    append(content, peer);
    append(content, verdict);
  }
  return content;
}

std::string content_of(const RuleSet& rules) {
  std::string content;
  append(content, rules.policy);
  for (const auto& [key, value] : rules.ports) {
    maps::policy_port_key without_id = key;
    without_id.policy = 0;
    append(content, without_id);
    append(content, value);
  }
  return content;
}

const Tables& Compiler::run(const Cluster& cluster, const std::string& node, const std::vector<LocalPod>& local,
                            bool managed, const NodePlan& plan, const std::vector<kube::ObjectId>* changed,
                            std::uint32_t mode) {
  std::map<kube::ObjectId, std::vector<Address>> local_addresses;
  if (!numbers_.known.empty())
    for (const LocalPod& pod : local) local_addresses[{"Pod", pod.ns, pod.name}] = pod.addresses;
  if (!addresses_ || node != node_) {
    node_ = node;
    changed = nullptr;
    subjects_ = {};
    addresses_ = std::make_shared<Addresses>(addresses_ ? addresses_->version() : 0);
    sources_.clear();
    done_.clear();
    blocks_of_.clear();
  }
  const SubjectChanges changes = subjects_.take(cluster, changed, local_addresses, numbers_);
  select(cluster, local);
  find_addresses(cluster, local, plan, changes);
  if (!changes.classes.empty() || addresses_->classes_changed()) {
    version_++;
    for (const auto& [object, source] : sources_) source->follow(changes.classes, subjects_, *addresses_, version_);
  }
  Tables former = std::exchange(tables_, {});
  tables_.addresses = addresses_;
  if (managed)
    tables_.policies[POLICY_INIT] = std::make_shared<RuleSet>(RuleSet{{0, POLICY_IN_FORCE | POLICY_ISOLATES}, {}});
  for (const LocalPod& pod : local) add_local(cluster, pod, managed, mode);
  forget_unused();
  return tables_;
}

// ---- which policies count ----

void Compiler::select(const Cluster& cluster, const std::vector<LocalPod>& local) {
  selected_.clear();
  const auto ordered = cluster_policies(cluster);
  for (const LocalPod& pod : local)
    if (const PodClass* subject = subjects_.class_of({"Pod", pod.ns, pod.name})) select(cluster, ordered, *subject);
}

void Compiler::select(const Cluster& cluster, const std::vector<kube::ObjectPtr>& ordered, const PodClass& subject) {
  const auto [egress, fresh] = selected_.try_emplace({subject.id, false});
  if (!fresh) return;
  Selected& ingress = selected_[{subject.id, true}];
  const auto look = [&](const kube::ObjectPtr& object) {
    if (!selects(*object, subject)) return;
    auto& source = sources_[object.get()];
    if (!source) source = std::make_unique<SourcePolicy>(object);
    if (source->speaks_of(true)) ingress.push_back(source.get());
    if (source->speaks_of(false)) egress->second.push_back(source.get());
  };
  cluster.each_in<kube::NetworkPolicy>(
      "NetworkPolicy", subject.ns, [&](const kube::ObjectPtr& object, const kube::NetworkPolicy&) { look(object); });
  std::ranges::for_each(ordered, look);
}

void Compiler::find_addresses(const Cluster& cluster, const std::vector<LocalPod>& local, const NodePlan& plan,
                              const SubjectChanges& changes) {
  find_blocks();
  AddressSources now{node_, plan, {}, blocks_, {}};
  cluster.each_in<kube::Node>("Node", {},
                              [&](const kube::ObjectPtr& object, const kube::Node&) { now.nodes.push_back(object); });
  for (const LocalPod& pod : local) now.local.insert(now.local.end(), pod.addresses.begin(), pod.addresses.end());
  addresses_->take(std::move(now), changes, numbers_);
}

void Compiler::find_blocks() {
  std::set<kube::ObjectPtr> used;
  for (const auto& [key, policies] : selected_)
    for (const SourcePolicy* policy : policies) used.insert(policy->object());
  if (used == blocks_of_) return;
  blocks_of_ = std::move(used);
  blocks_.clear();
  for (const kube::ObjectPtr& object : blocks_of_)
    for (const Prefix& block : sources_.at(object.get())->blocks()) blocks_.push_back(maps::ipcache_key_of(block));
  std::ranges::sort(blocks_, LargerFirst());
  const auto twice = std::ranges::unique(blocks_, [](const auto& a, const auto& b) { return same_bytes(a, b); });
  blocks_.erase(twice.begin(), twice.end());
}

// ---- the rules of one pod ----

/// 0: no policy selects the pod for this direction.
std::uint32_t Compiler::rule_set(const PodClass& subject, bool ingress, std::uint32_t mode) {
  const Selected& by = selected_.at({subject.id, ingress});
  if (by.empty()) return 0;
  Done& done = done_[{subject.id, ingress, mode}];
  const bool same =
      done.version != 0 && std::ranges::equal(done.by, by, {}, {}, &SourcePolicy::object) &&
      std::ranges::none_of(by, [&](const SourcePolicy* one) { return one->version(ingress) > done.version; });
  if (!same) compile_rules(done, subject, ingress, mode, by);
  tables_.too_many_rules |= done.too_many;
  if (done.id == 0) {
    tables_.no_policy_id = true;
    return POLICY_INIT;
  }
  tables_.policies.try_emplace(done.id, done.rules);
  tables_.sets.insert(done.sets.begin(), done.sets.end());
  return done.id;
}

void Compiler::compile_rules(Done& done, const PodClass& subject, bool ingress, std::uint32_t mode,
                             const Selected& by) {
  done = {.version = version_};
  RuleSet made{{0, POLICY_IN_FORCE | mode}, {}};
  std::vector<Rule> rules;
  std::uint16_t rank = 0;
  for (SourcePolicy* source : by) {
    done.by.push_back(source->object());
    if (source->isolates()) made.policy.flags |= POLICY_ISOLATES;
    // Rules are in the order in which they are judged.
    for (const SourceRule& rule : source->rules(ingress, subjects_, *addresses_, version_)) {
      if (rank == UINT16_MAX) done.too_many = true;
      add_rule(rules, rule, subject, subjects_, ingress, rank++);
    }
  }
  for (const PortEntry& entry : split_ports(rules)) {
    if (entry.proto != 0) made.policy.port_lengths |= 1U << entry.length;
    made.ports.push_back({{0, maps::be16::from_host(entry.port), entry.proto, entry.length},
                          {set_of(done, entry.answer.peers), 0, entry.answer.everyone}});
  }
  std::ranges::sort(made.ports, maps::ByBytes(), [](const auto& one) { return one.first; });
  done.id = numbers_.policies.of(content_of(made));
  for (auto& [key, value] : made.ports) key.policy = done.id;
  done.rules = std::make_shared<const RuleSet>(std::move(made));
}

std::uint32_t Compiler::set_of(Done& done, const std::map<std::uint32_t, maps::peer_verdict>& peers) {
  if (peers.empty()) return 0;
  PeerSet set(peers.begin(), peers.end());
  const std::uint32_t number = numbers_.sets.of(content_of(set));
  if (const auto known = tables_.sets.find(number); known != tables_.sets.end())
    done.sets.insert(*known);
  else
    done.sets.try_emplace(number, std::make_shared<const PeerSet>(std::move(set)));
  return number;
}

void Compiler::add_local(const Cluster& cluster, const LocalPod& pod, bool managed, std::uint32_t mode) {
  maps::pod_policy entry{{maps::IDENTITY_INIT, 0}, POLICY_INIT, POLICY_INIT};
  const kube::ObjectId id{"Pod", pod.ns, pod.name};
  const PodClass* subject = subjects_.class_of(id);
  if (pod.name.empty() || (!managed && subject == nullptr))
    entry = {{maps::IDENTITY_UNKNOWN, 0}, 0, 0};
  else if (subject != nullptr)
    entry = {{subject->id, 0},
             rule_set(*subject, false, mode_of(cluster, id, mode)),
             rule_set(*subject, true, mode_of(cluster, id, mode))};
  for (const Address& address : pod.addresses) {
    entry.classes.blocks = addresses_->class_of_local(address);
    tables_.pods[address] = {entry, pod.ifindex};
  }
}

/// What this time was not asked for. Numbers of sets and rule sets are the writer's to give back: the maps have them.
void Compiler::forget_unused() {
  std::set<const kube::Object*> used;
  for (const auto& [key, policies] : selected_)
    for (const SourcePolicy* policy : policies) used.insert(policy->object().get());
  std::erase_if(sources_, [&](const auto& one) { return !used.contains(one.first); });
  std::erase_if(done_, [&](const auto& one) {
    const auto& [subject, ingress, mode] = one.first;
    return !selected_.contains({subject, ingress});
  });
  if (tidied_ == version_) return;
  tidied_ = version_;
  std::set<std::uint32_t> classes;
  for (const auto& [content, one] : subjects_.classes()) classes.insert(one.id);
  numbers_.classes.keep_only(
      [&](std::uint32_t number) { return classes.contains(number) || addresses_->has_class(number); });
}

Tables compile(const Cluster& cluster, const std::string& node, const std::vector<LocalPod>& local,
               const Numbering& numbers, bool managed, const NodePlan& plan, std::uint32_t mode) {
  return Compiler(numbers).run(cluster, node, local, managed, plan, nullptr, mode);
}

}  // namespace sluice::loader::state::policy
