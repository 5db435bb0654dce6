#include "loader/state/policy/policies.hpp"

#include <algorithm>
#include <cerrno>
#include <set>

#include "maps/bytes.hpp"
#include "maps/trie_key.hpp"

namespace sluice::loader::state::policy {
namespace {

using maps::same_bytes;

Error full(const std::string& map, const std::string& key) {
  return refuse(E2BIG, "policy: no room in map " + map + ": nothing was changed (maps." + key +
                           " in sluice.yaml, then `sluiced remove` and `sluiced load`)");
}

/// What the programs take an address for that is in no block of ipcache.
constexpr maps::address_classes kNowhere{maps::IDENTITY_WORLD, 0};

/// What the maps hold. Of endpoints nothing: the CNI plugin writes them, too.
struct There {
  std::map<std::uint32_t, std::shared_ptr<const RuleSet>> policies;
  std::map<std::uint32_t, std::shared_ptr<const PeerSet>> sets;
  std::set<std::uint32_t> half_policies, half_sets;  ///< of these, some elements may be missing
  PrefixTable<maps::ipcache_entry> ipcache;
  std::uint64_t addresses = 0;  ///< the version that ipcache has in both generations; 0: not known
};

/// Numbers that endpoints have which no record names: they stay as they are.
struct Kept {
  std::set<std::uint32_t> policies, sets;
};

std::size_t size_of(const PeerSet& set) { return set.size(); }
std::size_t size_of(const RuleSet& rules) { return rules.ports.size(); }

/// Null: the address is not that pod's, or nobody's that a record names.
const PodEntry* entry_of(const Tables& wanted, const maps::addr& address, const maps::endpoint& pod) {
  const auto found = wanted.pods.find(Address(address));
  if (found == wanted.pods.end() || (found->second.ifindex != 0 && found->second.ifindex != pod.ifindex))
    return nullptr;
  return &found->second;
}

/// Old and new side by side are no more than the map holds.
bool fits(const auto& wanted, const auto& there, std::uint32_t capacity) {
  std::size_t all = 0;
  for (const auto& [number, one] : there) all += size_of(*one);
  for (const auto& [number, one] : wanted) all += there.contains(number) ? 0 : size_of(*one);
  return all <= capacity;
}

/// Goes on with the number that the content has in the maps. One that has another, too, is nobody's until it is gone.
void adopt(Numbers& numbers, const std::string& content, std::uint32_t number) {
  if (numbers.of(content, number) != number) (void)numbers.of("left over: " + std::to_string(number), number);
}

using EndpointList = std::vector<std::pair<maps::addr, maps::endpoint>>;
using Keys = std::vector<maps::ipcache_key>;
using AddressList = std::vector<std::pair<maps::ipcache_key, maps::ipcache_entry>>;

}  // namespace

struct Policies::State {
  Store store;
  std::uint32_t ports_capacity, peers_capacity, ipcache_capacity;
  Compiler compiler;
  There there{};

  Result<void> read();
  Result<void> read_sets(Numbering& numbers);
  Result<void> read_policies(Numbering& numbers);
  Result<EndpointList> endpoints() const;
  Result<void> bring(const Tables& wanted, Report& report);
  [[nodiscard]] Keys differing(const Tables& wanted) const;
  Result<void> check_room(const Tables& wanted, const Keys& keys) const;
  Result<void> put_new(const Tables& wanted, Report& report);
  Result<bool> stage_addresses(const Tables& wanted, const Keys& keys, Report& report);
  Result<bool> stage_pods(const Tables& wanted, Report& report);
  Result<void> settle_addresses(const Tables& wanted, const Keys& keys, Report& report);
  Result<Kept> settle_pods(const Tables& wanted, Report& report);
  Result<void> erase_old(const Tables& wanted, const Kept& kept, Report& report);
  void give_back(const Tables& wanted);

  Result<void> write(const AddressList& entries, Report& report);
  Result<void> write(const maps::addr& address, const maps::endpoint& pod, Report& report);
};

Policies::Policies(std::unique_ptr<State> state) : state_(std::move(state)) {}
Policies::Policies(Policies&&) noexcept = default;
Policies& Policies::operator=(Policies&&) noexcept = default;
Policies::~Policies() = default;

Result<Policies> Policies::open(const Root& root) { return open(TRY(Store::open(root))); }

Result<Policies> Policies::open(Store store) {
  const std::uint32_t policies = TRY(store.policies->capacity()), ports = TRY(store.ports->capacity()),
                      peers = TRY(store.peers->capacity()), ipcache = TRY(store.ipcache->capacity());
  Numbering numbers;
  numbers.policies = Numbers(POLICY_INIT + 1, policies);
  auto state = std::make_unique<State>(State{std::move(store), ports, peers, ipcache, Compiler(std::move(numbers))});
  TRY(state->read());
  return Policies(std::move(state));
}

/// Goes on with the numbers that a former process has left.
Result<void> Policies::State::read() {
  Numbering& numbers = compiler.numbers();
  const std::uint32_t now = store.moment->generation();
  TRY(read_sets(numbers));
  TRY(read_policies(numbers));
  for (const auto& [address, pod] : TRY(endpoints()))
    numbers.known[maps::ipcache_key_of(Prefix::host(Address(address)))] = pod.policy[now].classes;
  TRY(store.ipcache->each([&](const maps::ipcache_key& key, const maps::ipcache_entry& value) {
    there.ipcache[key] = value;
    numbers.known.try_emplace(key, value.classes[now]);
  }));
  // What has no number yet takes none that another has.
  std::uint32_t last = 0;
  for (const auto& [key, classes] : numbers.known) last = std::max({last, classes.identity, classes.blocks});
  numbers.classes = Numbers(maps::IDENTITY_POD_FIRST, UINT32_MAX, last);
  // The former process may have switched a moment ago.
  return store.moment->wait_for_programs();
}

Result<void> Policies::State::read_sets(Numbering& numbers) {
  std::map<std::uint32_t, PeerSet> sets;
  TRY(store.peers->each([&](const maps::peer_key& key, const maps::peer_verdict& value) {
    sets[key.set].emplace_back(key.peer_class, value);
  }));
  for (auto& [number, set] : sets) {
    std::ranges::sort(set, {}, [](const auto& one) { return one.first; });
    adopt(numbers.sets, content_of(set), number);
    there.sets[number] = std::make_shared<const PeerSet>(std::move(set));
  }
  return {};
}

Result<void> Policies::State::read_policies(Numbering& numbers) {
  std::map<std::uint32_t, RuleSet> policies;
  TRY(store.policies->each([&](std::uint32_t id, const maps::policy& policy) {
    if (policy.flags != 0) policies[id].policy = policy;
  }));
  TRY(store.ports->each([&](const maps::policy_port_key& key, const maps::policy_port& value) {
    policies[key.policy].ports.emplace_back(key, value);
  }));
  for (auto& [id, rules] : policies) {
    std::ranges::sort(rules.ports, maps::ByBytes(), [](const auto& one) { return one.first; });
    // Ports without a policy are what a killed process had no time to finish, or to erase.
    if (id != POLICY_INIT) adopt(numbers.policies, content_of(rules), id);
    if (rules.policy.flags == 0) there.half_policies.insert(id);
    there.policies[id] = std::make_shared<const RuleSet>(std::move(rules));
  }
  return {};
}

Result<EndpointList> Policies::State::endpoints() const {
  EndpointList all;
  TRY(store.endpoints->each(
      [&](const maps::addr& address, const maps::endpoint& pod) { all.emplace_back(address, pod); }));
  return all;
}

/// Where ipcache may not be as it is wanted, larger blocks before smaller ones.
Keys Policies::State::differing(const Tables& wanted) const {
  const std::uint64_t version = wanted.addresses->version();
  if (there.addresses == version) return {};
  if (there.addresses == version - 1) return wanted.addresses->changes();
  Keys keys;
  for (const auto& [key, value] : wanted.ipcache().all()) keys.push_back(key);
  for (const auto& [key, value] : there.ipcache.all())
    if (wanted.ipcache().find(key) == nullptr) keys.push_back(key);
  std::ranges::sort(keys, LargerFirst());
  return keys;
}

Result<void> Policies::State::check_room(const Tables& wanted, const Keys& keys) const {
  if (wanted.too_many_rules)
    return refuse(E2BIG, "policy: a pod has more than 65,535 rules in one direction: nothing was changed");
  if (wanted.no_policy_id) return full("policies", "policies");
  if (!fits(wanted.policies, there.policies, ports_capacity)) return full("policy_ports", "policyPorts");
  if (!fits(wanted.sets, there.sets, peers_capacity)) return full("peers", "peers");
  std::size_t addresses = there.ipcache.all().size();
  if (addresses + keys.size() > ipcache_capacity) {
    for (const auto& key : keys)
      addresses += wanted.ipcache().find(key) != nullptr && there.ipcache.find(key) == nullptr ? 1 : 0;
    if (addresses > ipcache_capacity) return full("ipcache", "ipcache");
  }
  return {};
}

/// Sets before the rule sets that name them, and a rule set's ports before itself.
Result<void> Policies::State::put_new(const Tables& wanted, Report& report) {
  for (const auto& [number, set] : wanted.sets) {
    if (there.sets.contains(number) && !there.half_sets.contains(number)) continue;
    there.half_sets.insert(number);
    there.sets[number] = set;
    std::vector<std::pair<maps::peer_key, maps::peer_verdict>> members;
    for (const auto& [peer, verdict] : *set) members.push_back({{number, peer}, verdict});
    std::size_t done = 0;
    TRY(store.peers->put_all(members, done));
    there.half_sets.erase(number);
    report.written += set->size();
  }
  for (const auto& [id, rules] : wanted.policies) {
    if (there.policies.contains(id) && !there.half_policies.contains(id)) continue;
    there.half_policies.insert(id);
    there.policies[id] = rules;
    std::size_t done = 0;
    TRY(store.ports->put_all(rules->ports, done));
    TRY(store.policies->put(id, rules->policy));
    there.half_policies.erase(id);
    report.written += rules->ports.size() + 1;
  }
  return {};
}

Result<void> Policies::State::write(const AddressList& entries, Report& report) {
  std::size_t done = 0;
  const auto written = store.ipcache->put_all(entries, done);
  for (std::size_t i = 0; i < done; i++) there.ipcache[entries[i].first] = entries[i].second;
  report.written += done;
  TRY(Result<void>(written).context("write who has an address"));
  return {};
}

/// An endpoint that is gone meanwhile is no error.
Result<void> Policies::State::write(const maps::addr& address, const maps::endpoint& pod, Report& report) {
  auto put = store.endpoints->replace(address, pod);
  if (put.failed_with(ENOENT)) return {};
  report.written++;
  return std::move(put).context("give pod " + Address(address).text() + " its policy");
}

/// Makes the generation that does not decide the wanted one. True: what decides is not yet what is wanted.
Result<bool> Policies::State::stage_addresses(const Tables& wanted, const Keys& keys, Report& report) {
  if (!keys.empty()) there.addresses = 0;
  const std::uint32_t now = store.moment->generation(), next = 1 - now;
  bool differs = false;
  AddressList entries;
  for (const auto& key : keys) {
    const auto *known = there.ipcache.find(key), *around = known == nullptr ? there.ipcache.around(key) : known;
    maps::ipcache_entry entry{};
    entry.classes[now] = around != nullptr ? around->classes[now] : kNowhere;
    if (const AddressEntry* value = wanted.ipcache().find(key)) {
      entry.classes[next] = value->classes;
      entry.node = value->node;
    } else {
      const AddressEntry* larger = wanted.ipcache().around(key);
      entry.classes[next] = larger != nullptr ? larger->classes : kNowhere;
      entry.node = known != nullptr ? known->node : 0;
    }
    differs |= !same_bytes(entry.classes[now], entry.classes[next]);
    differs |= entry.node != (known != nullptr ? known->node : 0);
    if (known == nullptr || !same_bytes(*known, entry)) entries.emplace_back(key, entry);
  }
  TRY(write(entries, report));
  return differs;
}

Result<bool> Policies::State::stage_pods(const Tables& wanted, Report& report) {
  const std::uint32_t now = store.moment->generation(), next = 1 - now;
  bool differs = false;
  const auto lock = TRY(store.lock_endpoints());
  for (auto& [address, pod] : TRY(endpoints())) {
    const PodEntry* entry = entry_of(wanted, address, pod);
    const maps::pod_policy policy = entry != nullptr ? entry->policy : pod.policy[now];
    differs |= !same_bytes(pod.policy[now], policy);
    if (same_bytes(pod.policy[next], policy)) continue;
    pod.policy[next] = policy;
    TRY(write(address, pod, report));
  }
  return differs;
}

/// Makes both generations the same, and erases what neither has.
Result<void> Policies::State::settle_addresses(const Tables& wanted, const Keys& keys, Report& report) {
  bool gone = false;
  AddressList entries;
  for (const auto& key : keys) {
    if (const AddressEntry* value = wanted.ipcache().find(key)) {
      const maps::ipcache_entry entry{{value->classes, value->classes}, value->node, 0};
      if (!same_bytes(*there.ipcache.find(key), entry)) entries.emplace_back(key, entry);
      continue;
    }
    TRY(store.ipcache->erase(key).context("forget who has an address"));
    there.ipcache.erase(key);
    report.written++;
    gone = true;
  }
  // The way to an address may be another one without the block.
  if (gone) store.moment->advance_epoch();
  TRY(write(entries, report));
  there.addresses = wanted.addresses->version();
  return {};
}

Result<Kept> Policies::State::settle_pods(const Tables& wanted, Report& report) {
  const std::uint32_t now = store.moment->generation();
  Kept kept;
  const auto lock = TRY(store.lock_endpoints());
  for (auto& [address, pod] : TRY(endpoints())) {
    if (entry_of(wanted, address, pod) == nullptr)
      kept.policies.insert({pod.policy[now].egress, pod.policy[now].ingress});
    if (same_bytes(pod.policy[0], pod.policy[1])) continue;
    pod.policy[1 - now] = pod.policy[now];
    TRY(write(address, pod, report));
  }
  for (const std::uint32_t id : kept.policies)
    if (const auto rules = there.policies.find(id); rules != there.policies.end())
      for (const auto& [key, value] : rules->second->ports) kept.sets.insert(value.set);
  return kept;
}

Result<void> Policies::State::erase_old(const Tables& wanted, const Kept& kept, Report& report) {
  for (auto one = there.policies.begin(); one != there.policies.end();) {
    const auto& [id, rules] = *one;
    if (wanted.policies.contains(id) || kept.policies.contains(id)) {
      ++one;
      continue;
    }
    there.half_policies.insert(id);
    TRY(store.policies->put(id, maps::policy{}));
    for (const auto& [key, value] : rules->ports) TRY(store.ports->erase(key));
    report.written += rules->ports.size() + 1;
    there.half_policies.erase(id);
    one = there.policies.erase(one);
  }
  for (auto one = there.sets.begin(); one != there.sets.end();) {
    const auto& [number, set] = *one;
    if (wanted.sets.contains(number) || kept.sets.contains(number)) {
      ++one;
      continue;
    }
    there.half_sets.insert(number);
    for (const auto& [peer, verdict] : *set) TRY(store.peers->erase({number, peer}));
    report.written += set->size();
    there.half_sets.erase(number);
    one = there.sets.erase(one);
  }
  return {};
}

/// A number is free when neither the maps nor what is wanted have it.
void Policies::State::give_back(const Tables& wanted) {
  Numbering& numbers = compiler.numbers();
  numbers.policies.keep_only(
      [&](std::uint32_t id) { return wanted.policies.contains(id) || there.policies.contains(id); });
  numbers.sets.keep_only([&](std::uint32_t set) { return wanted.sets.contains(set) || there.sets.contains(set); });
}

Result<void> Policies::State::bring(const Tables& wanted, Report& report) {
  const Keys keys = differing(wanted);
  TRY(check_room(wanted, keys));
  TRY(put_new(wanted, report));
  const bool addresses = TRY(stage_addresses(wanted, keys, report)), pods = TRY(stage_pods(wanted, report));
  if (addresses || pods) {
    store.moment->switch_generation();
    TRY(store.moment->wait_for_programs());
  }
  TRY(settle_addresses(wanted, keys, report));
  TRY(erase_old(wanted, TRY(settle_pods(wanted, report)), report));
  compiler.numbers().known.clear();
  return {};
}

Result<Report> Policies::update(const Cluster& cluster, const std::string& node, const std::vector<LocalPod>& local,
                                bool managed, const NodePlan& plan, const std::vector<kube::ObjectId>* changed,
                                std::uint32_t mode) {
  const Tables& wanted = state_->compiler.run(cluster, node, local, managed, plan, changed, mode);
  Report report{wanted.policies.size(), 0};
  const auto done = state_->bring(wanted, report);
  state_->give_back(wanted);
  TRY(done);
  return report;
}

}  // namespace sluice::loader::state::policy
