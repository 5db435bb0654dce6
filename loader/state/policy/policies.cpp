#include "loader/state/policy/policies.hpp"

#include <algorithm>
#include <cerrno>
#include <set>

#include "maps/bytes.hpp"

namespace sluice::loader::state::policy {
namespace {

using maps::same_bytes;

Error full(const std::string& map, const std::string& key) {
  return refuse(E2BIG, "policy: no room in map " + map + ": nothing was changed (maps." + key +
                           " in sluice.yaml, then `sluiced remove` and `sluiced load`)");
}

/// Puts what is not there yet, or is there otherwise.
template <typename Map, typename Wanted>
Result<void> put_new(Map& map, const Wanted& wanted, Wanted& there, Report& report) {
  for (const auto& [key, value] : wanted) {
    const auto known = there.find(key);
    if (known != there.end() && same_bytes(known->second, value)) continue;
    TRY(map.put(key, value));
    there[key] = value;
    report.written++;
  }
  return {};
}

/// Erases what is there and not wanted, but what `stays` says.
template <typename Map, typename Wanted>
Result<void> erase_old(Map& map, const Wanted& wanted, Wanted& there, Report& report, auto&& stays) {
  for (auto one = there.begin(); one != there.end();) {
    if (wanted.contains(one->first) || stays(one->first)) {
      ++one;
      continue;
    }
    TRY(map.erase(one->first));
    one = there.erase(one);
    report.written++;
  }
  return {};
}

/// Old and new side by side are more than the map holds.
bool fits(const auto& wanted, const auto& there, std::uint32_t capacity) {
  std::size_t all = there.size();
  for (const auto& [key, value] : wanted) all += there.contains(key) ? 0 : 1;
  return all <= capacity;
}

/// What the programs take an address for that is in no block of ipcache.
constexpr maps::address_classes kNowhere{maps::IDENTITY_WORLD, 0};

/// What the maps hold. Of endpoints nothing: the CNI plugin writes them, too.
struct There {
  std::map<std::uint32_t, maps::policy> policies;
  maps::Table<maps::policy_port_key, maps::policy_port> ports;
  maps::Table<maps::peer_key, maps::peer_verdict> peers;
  PrefixTable<maps::ipcache_entry> ipcache;
};

/// Numbers that endpoints have which no record names: they stay as they are.
struct Kept {
  std::set<std::uint32_t> policies, sets;
};

using EndpointList = std::vector<std::pair<maps::addr, maps::endpoint>>;

}  // namespace

struct Policies::State {
  Store store;
  std::uint32_t policies_capacity, ports_capacity, peers_capacity, ipcache_capacity;
  Numbering numbers;
  There there;

  Result<void> read();
  Result<EndpointList> endpoints() const;
  Result<void> check_room(const Tables& wanted) const;
  Result<bool> stage(const Tables& wanted, Report& report);
  Result<bool> stage_addresses(const Tables& wanted, Report& report);
  Result<bool> stage_pods(const Tables& wanted, Report& report);
  Result<void> settle(const Tables& wanted, Report& report);
  Result<void> settle_addresses(const Tables& wanted, Report& report);
  Result<Kept> settle_pods(const Tables& wanted, Report& report);
  Result<void> erase_policies(const Tables& wanted, const Kept& kept, Report& report);

  Result<void> write(const maps::ipcache_key& key, const maps::ipcache_entry& entry, Report& report);
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
  auto state = std::make_unique<State>(State{std::move(store), policies, ports, peers, ipcache, {}, {}});
  TRY(state->read());
  return Policies(std::move(state));
}

/// What a former process has left is there under its numbers: those given out from now on begin behind them.
Result<void> Policies::State::read() {
  std::uint32_t last_set = 0, last_class = maps::IDENTITY_POD_FIRST - 1;
  TRY(store.policies->each([&](std::uint32_t id, const maps::policy& policy) {
    if (policy.flags != 0) there.policies[id] = policy;
  }));
  TRY(store.ports->each(
      [&](const maps::policy_port_key& key, const maps::policy_port& value) { there.ports[key] = value; }));
  TRY(store.peers->each([&](const maps::peer_key& key, const maps::peer_verdict& value) {
    there.peers[key] = value;
    last_set = std::max(last_set, key.set);
    last_class = std::max(last_class, key.peer_class);
  }));
  TRY(store.ipcache->each([&](const maps::ipcache_key& key, const maps::ipcache_entry& value) {
    there.ipcache[key] = value;
    for (const auto& classes : value.classes) last_class = std::max({last_class, classes.identity, classes.blocks});
  }));
  for (const auto& [address, pod] : TRY(endpoints()))
    for (const auto& policy : pod.policy)
      last_class = std::max({last_class, policy.classes.identity, policy.classes.blocks});
  numbers = {Numbers(last_class + 1), Numbers(last_set + 1), PolicyIds(POLICY_INIT + 1, policies_capacity)};
  for (const auto& [id, policy] : there.policies) numbers.policies.reserve(id);
  // The former process may have switched a moment ago.
  return store.moment->wait_for_programs();
}

Result<EndpointList> Policies::State::endpoints() const {
  EndpointList all;
  TRY(store.endpoints->each(
      [&](const maps::addr& address, const maps::endpoint& pod) { all.emplace_back(address, pod); }));
  return all;
}

Result<void> Policies::State::check_room(const Tables& wanted) const {
  if (wanted.too_many_rules)
    return refuse(E2BIG, "policy: a pod has more than 65,535 rules in one direction: nothing was changed");
  if (wanted.no_policy_id) return full("policies", "policies");
  if (!fits(wanted.ports, there.ports, ports_capacity)) return full("policy_ports", "policyPorts");
  if (!fits(wanted.peers, there.peers, peers_capacity)) return full("peers", "peers");
  if (!fits(wanted.ipcache.all(), there.ipcache.all(), ipcache_capacity)) return full("ipcache", "ipcache");
  return {};
}

Result<void> Policies::State::write(const maps::ipcache_key& key, const maps::ipcache_entry& entry, Report& report) {
  const auto* known = there.ipcache.find(key);
  if (known != nullptr && same_bytes(*known, entry)) return {};
  TRY(store.ipcache->put(key, entry).context("write who has an address"));
  there.ipcache[key] = entry;
  report.written++;
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
Result<bool> Policies::State::stage(const Tables& wanted, Report& report) {
  const bool addresses = TRY(stage_addresses(wanted, report));
  const bool pods = TRY(stage_pods(wanted, report));
  return addresses || pods;
}

Result<bool> Policies::State::stage_addresses(const Tables& wanted, Report& report) {
  const std::uint32_t now = store.moment->generation(), next = 1 - now;
  bool differs = false;
  for (const auto& [key, value] : wanted.ipcache.all()) {
    const auto *known = there.ipcache.find(key), *around = there.ipcache.around(key);
    maps::ipcache_entry entry{};
    entry.classes[now] = known != nullptr ? known->classes[now] : around != nullptr ? around->classes[now] : kNowhere;
    entry.classes[next] = value.classes;
    entry.node = value.node;
    differs |= !same_bytes(entry.classes[now], entry.classes[next]);
    differs |= known == nullptr ? value.node != 0 : known->node != value.node;
    TRY(write(key, entry, report));
  }
  std::vector<std::pair<maps::ipcache_key, maps::ipcache_entry>> going;
  for (const auto& [key, known] : there.ipcache.all())
    if (wanted.ipcache.find(key) == nullptr) going.emplace_back(key, known);
  for (auto& [key, entry] : going) {
    const auto* around = wanted.ipcache.around(key);
    entry.classes[next] = around != nullptr ? around->classes : kNowhere;
    differs |= !same_bytes(entry.classes[now], entry.classes[next]);
    TRY(write(key, entry, report));
  }
  return differs;
}

Result<bool> Policies::State::stage_pods(const Tables& wanted, Report& report) {
  const std::uint32_t now = store.moment->generation(), next = 1 - now;
  bool differs = false;
  for (auto& [address, pod] : TRY(endpoints())) {
    const auto entry = wanted.pods.find(Address(address));
    const maps::pod_policy policy = entry != wanted.pods.end() ? entry->second : pod.policy[now];
    differs |= !same_bytes(pod.policy[now], policy);
    if (same_bytes(pod.policy[next], policy)) continue;
    pod.policy[next] = policy;
    TRY(write(address, pod, report));
  }
  return differs;
}

/// Makes both generations the same, and erases what neither has.
Result<void> Policies::State::settle(const Tables& wanted, Report& report) {
  TRY(settle_addresses(wanted, report));
  const Kept kept = TRY(settle_pods(wanted, report));
  return erase_policies(wanted, kept, report);
}

Result<void> Policies::State::settle_addresses(const Tables& wanted, Report& report) {
  std::vector<maps::ipcache_key> going;
  for (const auto& [key, known] : there.ipcache.all())
    if (wanted.ipcache.find(key) == nullptr) going.push_back(key);
  for (const auto& key : going) {
    TRY(store.ipcache->erase(key).context("forget who has an address"));
    there.ipcache.erase(key);
    report.written++;
  }
  // The way to an address may be another one without the block.
  if (!going.empty()) store.moment->advance_epoch();
  for (const auto& [key, value] : wanted.ipcache.all())
    TRY(write(key, {{value.classes, value.classes}, value.node, 0}, report));
  return {};
}

Result<Kept> Policies::State::settle_pods(const Tables& wanted, Report& report) {
  const std::uint32_t now = store.moment->generation();
  Kept kept;
  for (auto& [address, pod] : TRY(endpoints())) {
    if (!wanted.pods.contains(Address(address)))
      kept.policies.insert({pod.policy[now].egress, pod.policy[now].ingress});
    if (same_bytes(pod.policy[0], pod.policy[1])) continue;
    pod.policy[1 - now] = pod.policy[now];
    TRY(write(address, pod, report));
  }
  for (const auto& [key, value] : there.ports)
    if (kept.policies.contains(key.policy)) kept.sets.insert(value.set);
  return kept;
}

Result<void> Policies::State::erase_policies(const Tables& wanted, const Kept& kept, Report& report) {
  for (auto one = there.policies.begin(); one != there.policies.end();) {
    if (wanted.policies.contains(one->first) || kept.policies.contains(one->first)) {
      ++one;
      continue;
    }
    TRY(store.policies->put(one->first, maps::policy{}));
    numbers.policies.give_back(one->first);
    one = there.policies.erase(one);
    report.written++;
  }
  TRY(erase_old(*store.ports, wanted.ports, there.ports, report,
                [&](const auto& key) { return kept.policies.contains(key.policy); }));
  return erase_old(*store.peers, wanted.peers, there.peers, report,
                   [&](const auto& key) { return kept.sets.contains(key.set); });
}

Result<Report> Policies::update(const Cluster& cluster, const std::string& node, const std::vector<LocalPod>& local,
                                bool managed, const NodePlan& plan) {
  State& state = *state_;
  const Tables wanted = compile(cluster, node, local, state.numbers, managed, plan);
  TRY(state.check_room(wanted));
  Report report{wanted.policies.size(), 0};
  TRY(put_new(*state.store.peers, wanted.peers, state.there.peers, report));
  TRY(put_new(*state.store.ports, wanted.ports, state.there.ports, report));
  TRY(put_new(*state.store.policies, wanted.policies, state.there.policies, report));
  if (TRY(state.stage(wanted, report))) {
    state.store.moment->switch_generation();
    TRY(state.store.moment->wait_for_programs());
  }
  TRY(state.settle(wanted, report));
  return report;
}

}  // namespace sluice::loader::state::policy
