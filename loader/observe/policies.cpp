#include "loader/observe/policies.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "loader/config.hpp"
#include "loader/observe/pod_names.hpp"
#include "maps/trie_key.hpp"

namespace sluice::loader::observe {

namespace {

using Because = PolicySide::Because;

/// Only this node speaks from a link-local address to its pods.
bool is_gateway(const Address& address) {
  static const Address gateway = *Address::parse(kGatewayV4);
  static const Prefix link_local = *Prefix::parse("fe80::/10");
  return address == gateway || link_local.contains(address);
}

std::string text_of(const maps::ipcache_key& key) {
  maps::addr wire;
  std::memcpy(wire.word, key.word, sizeof(wire.word));
  const Address address(wire);
  return Prefix{address, address.is_v4() && key.prefix_len >= 96 ? key.prefix_len - 96 : key.prefix_len}.text();
}

std::string pod_name(const PodNames& names, const Address& address) {
  const std::string name = names.of(address);
  return name.empty() ? address.text() : name;
}

void add_once(std::vector<std::string>& list, const std::string& word) {
  if (std::ranges::find(list, word) == list.end()) list.push_back(word);
}

}  // namespace

bool PolicyVerdict::allowed() const {
  const auto lets_through = [](const PolicySide& side) { return !side.denied || (side.flags & POLICY_AUDIT) != 0; };
  return lets_through(egress) && lets_through(ingress);
}

Result<PolicyMaps> PolicyMaps::open(const Root& root) {
  return PolicyMaps(root, TRY(maps::open<maps::Policies>(root.maps())), TRY(maps::open<maps::PolicyPorts>(root.maps())),
                    TRY(maps::open<maps::Peers>(root.maps())), TRY(maps::open<maps::Ipcache>(root.maps())),
                    TRY(maps::open<maps::Endpoints>(root.maps())));
}

Result<std::vector<RuleSet>> PolicyMaps::rule_sets() const {
  std::map<std::uint32_t, RuleSet> all;
  TRY(policies_.each([&](std::uint32_t id, const maps::policy& policy) {
    if ((policy.flags & POLICY_IN_FORCE) != 0) all[id] = {id, policy.flags, 0, {}, {}};
  }));
  TRY(ports_.each([&](const maps::policy_port_key& key, const maps::policy_port&) {
    if (const auto set = all.find(key.policy); set != all.end()) set->second.ports++;
  }));
  const auto names = TRY(PodNames::read(root_));
  const std::uint32_t generation = TRY(maps::generation_in(root_.maps()));
  TRY(endpoints_.each([&](const maps::addr& address, const maps::endpoint& pod) {
    const std::string name = pod_name(names, Address(address));
    const maps::pod_policy& policy = pod.policy[generation];
    if (const auto set = all.find(policy.egress); set != all.end()) add_once(set->second.egress, name);
    if (const auto set = all.find(policy.ingress); set != all.end()) add_once(set->second.ingress, name);
  }));
  std::vector<RuleSet> list;
  for (auto& [id, set] : all) {
    std::ranges::sort(set.egress);
    std::ranges::sort(set.ingress);
    list.push_back(std::move(set));
  }
  return list;
}

Result<std::vector<RuleSetPorts>> PolicyMaps::ports_of(std::uint32_t rule_set) const {
  const auto policy = TRY(policies_.lookup(rule_set));
  if (!policy || (policy->flags & POLICY_IN_FORCE) == 0)
    return refuse(ENOENT,
                  "no rule set " + std::to_string(rule_set) + ": `bpfctl policy list --sets` shows those in force");
  struct Found {
    maps::policy_port_key key;
    maps::policy_port value;
  };
  std::vector<Found> found;
  std::set<std::uint32_t> sets;
  TRY(ports_.each([&](const maps::policy_port_key& key, const maps::policy_port& value) {
    if (key.policy != rule_set) return;
    found.push_back({key, value});
    sets.insert(value.set);
  }));
  std::map<std::uint32_t, std::vector<std::pair<std::uint32_t, maps::peer_verdict>>> members;
  TRY(peers_.each([&](const maps::peer_key& key, const maps::peer_verdict& verdict) {
    if (sets.contains(key.set)) members[key.set].emplace_back(key.peer_class, verdict);
  }));
  std::ranges::sort(found, [](const Found& one, const Found& other) {
    return std::tuple(-one.key.length, one.key.proto, one.key.port.to_host()) <
           std::tuple(-other.key.length, other.key.proto, other.key.port.to_host());
  });
  std::vector<RuleSetPorts> list;
  for (const auto& [key, value] : found) {
    const std::uint16_t first = key.port.to_host();
    auto peers = value.set != 0 ? members[value.set] : decltype(members)::mapped_type{};
    std::ranges::sort(peers, {}, [](const auto& peer) { return peer.first; });
    list.push_back({key.proto, first, static_cast<std::uint16_t>(first | (0xffffU >> key.length)), value.everyone,
                    std::move(peers)});
  }
  return list;
}

Result<std::map<std::uint32_t, std::vector<std::string>>> PolicyMaps::class_members() const {
  std::map<std::uint32_t, std::vector<std::string>> members;
  members[maps::IDENTITY_HOST] = {"this node"};
  members[maps::IDENTITY_REMOTE_NODE] = {"other nodes"};
  members[maps::IDENTITY_WORLD] = {"the world"};
  const auto names = TRY(PodNames::read(root_));
  const std::uint32_t generation = TRY(maps::generation_in(root_.maps()));
  TRY(endpoints_.each([&](const maps::addr& address, const maps::endpoint& pod) {
    const auto [identity, blocks] = pod.policy[generation].classes;
    add_once(members[identity], pod_name(names, Address(address)));
    if (blocks != 0) add_once(members[blocks], Address(address).text());
  }));
  TRY(ipcache_.each([&](const maps::ipcache_key& key, const maps::ipcache_entry& entry) {
    const auto [identity, blocks] = entry.classes[generation];
    if (identity >= maps::IDENTITY_POD_FIRST) add_once(members[identity], text_of(key));
    if (blocks != 0) add_once(members[blocks], text_of(key));
  }));
  for (auto& [number, list] : members) std::ranges::sort(list);
  return members;
}

Result<PolicyUsage> PolicyMaps::usage() const {
  PolicyUsage usage;
  const auto sets = TRY(rule_sets());
  std::size_t ports = 0, peers = 0, addresses = 0;
  std::set<std::uint32_t> peer_sets;
  TRY(ports_.each([&](const maps::policy_port_key&, const maps::policy_port& value) {
    ports++;
    usage.peer_set_users += value.set != 0 ? 1 : 0;
  }));
  TRY(peers_.each([&](const maps::peer_key& key, const maps::peer_verdict&) {
    peers++;
    peer_sets.insert(key.set);
  }));
  TRY(ipcache_.each([&](const maps::ipcache_key&, const maps::ipcache_entry&) { addresses++; }));
  usage.maps = {{maps::Policies::kName, sets.size(), TRY(policies_.capacity())},
                {maps::PolicyPorts::kName, ports, TRY(ports_.capacity())},
                {maps::Peers::kName, peers, TRY(peers_.capacity())},
                {maps::Ipcache::kName, addresses, TRY(ipcache_.capacity())}};
  for (const RuleSet& set : sets) {
    usage.rule_sets += set.egress.empty() && set.ingress.empty() ? 0 : 1;
    usage.directions += set.egress.size() + set.ingress.size();
  }
  usage.peer_sets = peer_sets.size();
  return usage;
}

Result<maps::address_classes> PolicyMaps::classes_of(const Address& address, const maps::pod_policy* pod,
                                                     std::uint32_t generation) const {
  if (pod != nullptr) return pod->classes;
  const auto entry = TRY(ipcache_.lookup(maps::ipcache_key_of(Prefix::host(address))));
  maps::address_classes classes{maps::IDENTITY_WORLD, 0};
  if (entry) classes = entry->classes[generation];
  if (is_gateway(address)) classes.identity = maps::IDENTITY_HOST;
  return classes;
}

Result<std::optional<maps::policy_port>> PolicyMaps::port_entry(std::uint32_t id, std::uint32_t lengths,
                                                                std::uint16_t port, std::uint8_t proto) const {
  for (unsigned length = POLICY_PORT_BITS + 1; length-- > 0;) {
    if ((lengths & 1U << length) == 0) continue;
    const auto prefix = static_cast<std::uint16_t>(port & (0xffff0000U >> length));
    auto found = TRY(ports_.lookup({id, maps::be16::from_host(prefix), proto, static_cast<__u8>(length)}));
    if (found) return found;
  }
  return ports_.lookup({id, {}, 0, 0});
}

Result<PolicySide> PolicyMaps::ask_rule_set(std::uint32_t id, const maps::address_classes& peer, std::uint8_t proto,
                                            std::uint16_t port) const {
  if (id == 0) return PolicySide{.because = Because::kNoRuleSet};
  PolicySide side{.because = Because::kNotInForce, .denied = true, .rule_set = id};
  const auto policy = TRY(policies_.lookup(id));
  if (!policy || (policy->flags & POLICY_IN_FORCE) == 0) return side;
  maps::peer_verdict said{};
  if (const auto entry = TRY(port_entry(id, policy->port_lengths, port, proto))) {
    said = entry->everyone;
    for (const std::uint32_t peer_class : {peer.identity, peer.blocks}) {
      if (entry->set == 0 || peer_class == 0) continue;
      if (const auto found = TRY(peers_.lookup({entry->set, peer_class}))) maps::policy_combine(&said, &*found);
    }
  }
  const maps::tier_verdict* deciding = maps::policy_deciding_tier(&said, policy->flags);
  side.flags = policy->flags;
  side.rule = deciding->rule;
  side.denied = maps::policy_allows(deciding, policy->flags) == 0;
  side.because = id == POLICY_INIT                        ? Because::kWaiting
                 : deciding->verdict != maps::POLICY_NONE ? Because::kRule
                 : (policy->flags & POLICY_ISOLATES) != 0 ? Because::kIsolated
                                                          : Because::kNothingSaid;
  return side;
}

Result<PolicyVerdict> PolicyMaps::ask(const Address& client, const Address& server, std::uint8_t proto,
                                      std::uint16_t port) const {
  const auto from = TRY(endpoints_.lookup(client.wire())), to = TRY(endpoints_.lookup(server.wire()));
  PolicyVerdict verdict;
  if (from && to && from->ifindex == to->ifindex) {
    verdict.egress.because = verdict.ingress.because = Because::kItself;
    return verdict;
  }
  const std::uint32_t generation = TRY(maps::generation_in(root_.maps()));
  const maps::pod_policy *sends = from ? &from->policy[generation] : nullptr,
                         *gets = to ? &to->policy[generation] : nullptr;
  if (sends != nullptr)
    verdict.egress = TRY(ask_rule_set(sends->egress, TRY(classes_of(server, gets, generation)), proto, port));
  if (gets == nullptr) return verdict;
  const maps::address_classes peer = TRY(classes_of(client, sends, generation));
  if (gets->ingress != 0 && peer.identity == maps::IDENTITY_HOST)
    verdict.ingress.because = Because::kOwnNode;
  else
    verdict.ingress = TRY(ask_rule_set(gets->ingress, peer, proto, port));
  return verdict;
}

Result<bool> PolicyMaps::is_here(const Address& address) const {
  return TRY(endpoints_.lookup(address.wire())).has_value();
}

}  // namespace sluice::loader::observe
