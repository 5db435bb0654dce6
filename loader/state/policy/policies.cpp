#include "loader/state/policy/policies.hpp"

#include <algorithm>
#include <cerrno>
#include <set>

#include "maps/bytes.hpp"
#include "maps/runtime.h"
#include "maps/views.hpp"

namespace sluice::loader::state::policy {
namespace {

Error full(const std::string& map, const std::string& key) {
  return refuse(E2BIG, "policy: no room in map " + map + ": nothing was changed (maps." + key +
                           " in sluice.yaml, then `sluiced remove` and `sluiced load`)");
}

/// Puts what is not there yet, or is there otherwise.
template <typename View, typename Wanted>
Result<void> put_new(View& map, const Wanted& wanted, Wanted& there, Report& report) {
  for (const auto& [key, value] : wanted) {
    const auto known = there.find(key);
    if (known != there.end() && maps::same_bytes(known->second, value)) continue;
    TRY(map.put(key, value));
    there[key] = value;
    report.written++;
  }
  return {};
}

/// Erases what is there and not wanted.
template <typename View, typename Wanted>
Result<void> erase_old(View& map, const Wanted& wanted, Wanted& there, Report& report) {
  for (auto one = there.begin(); one != there.end();) {
    if (wanted.contains(one->first)) {
      ++one;
      continue;
    }
    (void)TRY(map.erase(one->first));
    one = there.erase(one);
    report.written++;
  }
  return {};
}

/// Old and new side by side are more than the map holds.
template <typename Wanted>
bool fits(const Wanted& wanted, const Wanted& there, std::uint32_t capacity) {
  std::size_t all = there.size();
  for (const auto& [key, value] : wanted) all += there.contains(key) ? 0 : 1;
  return all <= capacity;
}

}  // namespace

struct Policies::State {
  maps::Policies policies;
  maps::PolicyPorts ports;
  maps::Peers peers;
  maps::Ipcache ipcache;
  maps::Endpoints endpoints;
  maps::Mapped<maps::runtime> runtime;
  std::uint32_t policies_capacity, ports_capacity, peers_capacity, ipcache_capacity;
  Numbering numbers;
  Tables there;  ///< what the maps hold; of pods nothing: the CNI plugin writes them, too

  Result<void> read();
  Result<void> check_room(const Tables& wanted) const;
  Result<void> switch_pods(const Tables& wanted, Report& report);
  Result<void> erase_policies(const Tables& wanted, Report& report);
};

Policies::Policies(std::unique_ptr<State> state) : state_(std::move(state)) {}
Policies::Policies(Policies&&) noexcept = default;
Policies& Policies::operator=(Policies&&) noexcept = default;
Policies::~Policies() = default;

Result<Policies> Policies::open(const Root& root) {
  auto policies = TRY(maps::open<maps::Policies>(root.maps()));
  auto ports = TRY(maps::open<maps::PolicyPorts>(root.maps()));
  auto peers = TRY(maps::open<maps::Peers>(root.maps()));
  auto ipcache = TRY(maps::open<maps::Ipcache>(root.maps()));
  auto endpoints = TRY(maps::open<maps::Endpoints>(root.maps()));
  auto runtime = TRY(maps::Mapped<maps::runtime>::open(TRY(maps::open<maps::Runtime>(root.maps())).fd()));
  const std::uint32_t policies_capacity = TRY(policies.capacity()), ports_capacity = TRY(ports.capacity()),
                      peers_capacity = TRY(peers.capacity()), ipcache_capacity = TRY(ipcache.capacity());
  auto state = std::make_unique<State>(State{std::move(policies),
                                             std::move(ports),
                                             std::move(peers),
                                             std::move(ipcache),
                                             std::move(endpoints),
                                             std::move(runtime),
                                             policies_capacity,
                                             ports_capacity,
                                             peers_capacity,
                                             ipcache_capacity,
                                             {},
                                             {}});
  TRY(state->read());
  return Policies(std::move(state));
}

/// What a former process has left is there under its numbers: those given out from now on begin behind them.
Result<void> Policies::State::read() {
  std::uint32_t last_set = 0, last_class = maps::IDENTITY_POD_FIRST - 1;
  TRY(policies.each([&](std::uint32_t id, const maps::policy& policy) {
    if (policy.flags == 0) return;
    there.policies[id] = policy;
  }));
  TRY(ports.each([&](const maps::policy_port_key& key, const maps::policy_port& value) { there.ports[key] = value; }));
  TRY(peers.each([&](const maps::peer_key& key, const maps::peer_verdict& value) {
    there.peers[key] = value;
    last_set = std::max(last_set, key.set);
    last_class = std::max(last_class, key.peer_class);
  }));
  TRY(ipcache.each([&](const maps::ipcache_key& key, const maps::ipcache_entry& value) {
    there.ipcache[key] = value;
    last_class = std::max({last_class, value.identity, value.blocks});
  }));
  TRY(endpoints.each([&](const maps::addr&, const maps::endpoint& pod) {
    last_class = std::max({last_class, pod.identity, pod.blocks});
  }));
  numbers = {Numbers(last_class + 1), Numbers(last_set + 1), PolicyIds(POLICY_INIT + 1, policies_capacity)};
  for (const auto& [id, policy] : there.policies) numbers.policies.reserve(id);
  return {};
}

Result<void> Policies::State::check_room(const Tables& wanted) const {
  if (wanted.too_many_rules)
    return refuse(E2BIG, "policy: a pod has more than 65,535 rules in one direction: nothing was changed");
  if (wanted.no_policy_id) return full("policies", "policies");
  if (!fits(wanted.ports, there.ports, ports_capacity)) return full("policy_ports", "policyPorts");
  if (!fits(wanted.peers, there.peers, peers_capacity)) return full("peers", "peers");
  if (!fits(wanted.ipcache, there.ipcache, ipcache_capacity)) return full("ipcache", "ipcache");
  return {};
}

/// An endpoint is changed only as long as it is the one that was read: the plugin may give the address to another pod.
Result<void> Policies::State::switch_pods(const Tables& wanted, Report& report) {
  for (const auto& [address, entry] : wanted.pods) {
    auto pod = TRY(endpoints.lookup(address.wire()));
    if (!pod) continue;
    const maps::endpoint before = *pod;
    pod->identity = entry.identity;
    pod->blocks = entry.blocks;
    pod->egress = entry.egress;
    pod->ingress = entry.ingress;
    if (maps::same_bytes(before, *pod)) continue;
    auto put = endpoints.replace(address.wire(), *pod);
    if (put.failed_with(ENOENT)) continue;
    TRY(std::move(put).context("give pod " + address.text() + " its policy"));
    report.written++;
  }
  return {};
}

Result<void> Policies::State::erase_policies(const Tables& wanted, Report& report) {
  for (auto one = there.policies.begin(); one != there.policies.end();) {
    if (wanted.policies.contains(one->first)) {
      ++one;
      continue;
    }
    TRY(policies.put(one->first, maps::policy{}));
    numbers.policies.give_back(one->first);
    one = there.policies.erase(one);
    report.written++;
  }
  return {};
}

Result<Report> Policies::update(const Cluster& cluster, const std::string& node, const std::vector<LocalPod>& local,
                                bool managed, const NodePlan& plan) {
  State& state = *state_;
  const Tables wanted = compile(cluster, node, local, state.numbers, managed, plan);
  TRY(state.check_room(wanted));
  Report report{wanted.policies.size(), 0};
  TRY(put_new(state.peers, wanted.peers, state.there.peers, report));
  TRY(put_new(state.ports, wanted.ports, state.there.ports, report));
  TRY(put_new(state.policies, wanted.policies, state.there.policies, report));
  TRY(put_new(state.ipcache, wanted.ipcache, state.there.ipcache, report));
  TRY(state.switch_pods(wanted, report));
  if (report.written > 0) maps::advance_epoch(*state.runtime);
  const std::size_t before = report.written;
  TRY(erase_old(state.ipcache, wanted.ipcache, state.there.ipcache, report));
  if (report.written > before) maps::advance_epoch(*state.runtime);
  TRY(state.erase_policies(wanted, report));
  TRY(erase_old(state.ports, wanted.ports, state.there.ports, report));
  TRY(erase_old(state.peers, wanted.peers, state.there.peers, report));
  return report;
}

}  // namespace sluice::loader::state::policy
