#include "tests/policy/maps.hpp"

#include <cerrno>

#include "loader/state/policy/prefix_table.hpp"
#include "maps/trie_key.hpp"
#include "maps/views.hpp"

namespace sluice::test {
namespace {

using loader::kube::Protocol;
using loader::state::policy::Elements;
using loader::state::policy::Moment;
using loader::state::policy::Store;
using loader::state::policy::Tables;

using Step = std::function<int(const std::string&)>;

Result<void> done(const Step& after_step, const char* what) {
  if (const int code = after_step ? after_step(what) : 0; code != 0) return refuse(code, "this step fails");
  return {};
}

template <typename Table>
const Table& elements(const Table& all) {
  return all;
}
const auto& elements(const loader::state::policy::PrefixTable<maps::ipcache_entry>& all) { return all.all(); }

template <typename T>
void write(std::string& text, const T& value) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (const unsigned char byte : std::string_view(reinterpret_cast<const char*>(&value), sizeof(value))) {
    text += kDigits[byte / 16];
    text += kDigits[byte % 16];
  }
  text += ' ';
}

template <typename Key, typename Value, typename All>
class InMemory : public Elements<Key, Value> {
 public:
  InMemory(const char* name, MapInMemory<All>& map, const Step& after_step)
      : name_(name), map_(map), after_step_(after_step) {}

  [[nodiscard]] Result<void> each(const std::function<void(const Key&, const Value&)>& visit) const override {
    for (const auto& [key, value] : elements(map_.all)) visit(key, value);
    return {};
  }
  Result<void> put(const Key& key, const Value& value) override {
    const auto& all = elements(map_.all);
    if (!all.contains(key) && all.size() >= map_.capacity) return refuse(E2BIG, "full");
    map_.all[key] = value;
    return done(after_step_, name_);
  }
  Result<void> put_all(const std::vector<std::pair<Key, Value>>& all, std::size_t& done) override {
    for (done = 0; done < all.size(); done++) TRY(put(all[done].first, all[done].second));
    return {};
  }
  Result<void> replace(const Key& key, const Value& value) override {
    if (!elements(map_.all).contains(key)) return refuse(ENOENT, "not there");
    return put(key, value);
  }
  Result<void> erase(const Key& key) override {
    if (!elements(map_.all).contains(key)) return {};
    map_.all.erase(key);
    return done(after_step_, name_);
  }
  [[nodiscard]] Result<std::uint32_t> capacity() const override { return map_.capacity; }

 private:
  const char* name_;
  MapInMemory<All>& map_;
  const Step& after_step_;
};

class EpochInMemory : public Moment {
 public:
  EpochInMemory(std::uint32_t& epoch, const Step& after_step) : epoch_(epoch), after_step_(after_step) {}

  [[nodiscard]] std::uint32_t generation() const override { return GENERATION(epoch_); }
  void switch_generation() override {
    epoch_++;
    (void)done(after_step_, "switch");
  }
  void advance_epoch() override { epoch_ += GENERATIONS; }
  Result<void> wait_for_programs() override { return done(after_step_, "wait"); }

 private:
  std::uint32_t& epoch_;
  const Step& after_step_;
};

}  // namespace

PolicyMaps::PolicyMaps(const Tables& tables) {
  for (const auto& [id, rules] : tables.policies) {
    policies.all[id] = rules->policy;
    for (const auto& [key, value] : rules->ports) ports.all[key] = value;
  }
  for (const auto& [number, set] : tables.sets)
    for (const auto& [peer, verdict] : *set) peers.all[{number, peer}] = verdict;
  for (const auto& [key, value] : tables.ipcache().all())
    ipcache.all[key] = {{value.classes, value.classes}, value.node, 0};
  // As if each pod had its interface, both addresses the same one.
  std::uint32_t ifindex = 0;
  for (const auto& [address, entry] : tables.pods) {
    maps::endpoint pod{};
    pod.ifindex = ++ifindex;
    for (auto& one : pod.policy) one = entry.policy;
    endpoints.all[address.wire()] = pod;
  }
}

void PolicyMaps::attach(const Address& address, std::uint32_t ifindex) {
  maps::endpoint pod{};
  pod.ifindex = ifindex;
  for (auto& one : pod.policy) one = {{maps::IDENTITY_INIT, 0}, POLICY_INIT, POLICY_INIT};
  endpoints.all[address.wire()] = pod;
}

Store PolicyMaps::store() {
  Store store;
  const auto open = [&](const char* name, auto& map) {
    using All = std::remove_cvref_t<decltype(map.all)>;
    using Pair = typename std::remove_cvref_t<decltype(elements(map.all))>::value_type;
    return std::make_unique<InMemory<std::remove_const_t<typename Pair::first_type>, typename Pair::second_type, All>>(
        name, map, after_step);
  };
  store.policies = open("policies", policies);
  store.ports = open("policy_ports", ports);
  store.peers = open("peers", peers);
  store.ipcache = open("ipcache", ipcache);
  store.endpoints = open("endpoints", endpoints);
  store.lock_endpoints = [] { return Result<std::shared_ptr<void>>(std::shared_ptr<void>()); };
  store.moment = std::make_unique<EpochInMemory>(epoch, after_step);
  return store;
}

std::string PolicyMaps::content() const {
  std::string text;
  const auto add = [&](const char* name, const auto& all) {
    text += name + (" " + std::to_string(all.size())) + ": ";
    for (const auto& [key, value] : all) {
      write(text, key);
      write(text, value);
    }
  };
  add("policies", policies.all);
  add("policy_ports", ports.all);
  add("peers", peers.all);
  add("ipcache", ipcache.all.all());
  add("endpoints", endpoints.all);
  return text;
}

const maps::endpoint* PolicyMaps::pod_at(const Address& address) const {
  const auto found = endpoints.all.find(address.wire());
  return found != endpoints.all.end() ? &found->second : nullptr;
}

maps::address_classes PolicyMaps::classes_of(const Address& address) const {
  if (const auto* pod = pod_at(address)) return pod->policy[GENERATION(epoch)].classes;
  const auto key = maps::ipcache_key_of(Prefix::host(address));
  const auto* entry = ipcache.all.find(key);
  if (entry == nullptr) entry = ipcache.all.around(key);
  return entry != nullptr ? entry->classes[GENERATION(epoch)] : maps::address_classes{maps::IDENTITY_WORLD, 0};
}

bool PolicyMaps::denies(std::uint32_t id, maps::address_classes peer, Protocol protocol, std::uint16_t port) const {
  if (id == 0) return false;
  const auto policy = policies.all.find(id);
  if (policy == policies.all.end() || (policy->second.flags & POLICY_IN_FORCE) == 0) return true;
  const auto find = [&](std::uint8_t proto, std::uint16_t prefix, unsigned length) -> const maps::policy_port* {
    const auto found = ports.all.find({id, maps::be16::from_host(prefix), proto, static_cast<__u8>(length)});
    return found != ports.all.end() ? &found->second : nullptr;
  };
  const maps::policy_port* entry = nullptr;
  for (int length = POLICY_PORT_BITS; length >= 0 && entry == nullptr; length--)
    if ((policy->second.port_lengths & 1U << length) != 0)
      entry = find(static_cast<std::uint8_t>(protocol), static_cast<std::uint16_t>(port & (0xffff0000U >> length)),
                   static_cast<unsigned>(length));
  if (entry == nullptr) entry = find(0, 0, 0);
  maps::peer_verdict said{};
  if (entry != nullptr) {
    said = entry->everyone;
    for (const std::uint32_t one : {peer.identity, peer.blocks}) {
      if (entry->set == 0 || one == 0) continue;
      const auto found = peers.all.find({entry->set, one});
      if (found != peers.all.end()) maps::policy_combine(&said, &found->second);
    }
  }
  return maps::policy_allows(maps::policy_deciding_tier(&said, policy->second.flags), policy->second.flags) == 0;
}

bool PolicyMaps::allow(const Address& client, const Address& server, Protocol protocol, std::uint16_t port) const {
  const auto *from = pod_at(client), *to = pod_at(server);
  const std::uint32_t generation = GENERATION(epoch);
  if (from != nullptr && to != nullptr && from->ifindex == to->ifindex) return true;
  if (from != nullptr && denies(from->policy[generation].egress, classes_of(server), protocol, port)) return false;
  const auto peer = classes_of(client);
  if (to == nullptr || peer.identity == maps::IDENTITY_HOST) return true;
  return !denies(to->policy[generation].ingress, peer, protocol, port);
}

}  // namespace sluice::test
