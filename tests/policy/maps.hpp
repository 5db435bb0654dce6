/// The maps that policy is in, in memory: judged as the programs judge (bpf/lib/judge.h, bpf/lib/policy.h), and written
/// as the agent writes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "loader/kube/port.hpp"
#include "loader/state/policy/compile.hpp"
#include "loader/state/policy/prefix_table.hpp"
#include "loader/state/policy/store.hpp"
#include "maps/address.hpp"
#include "maps/bytes.hpp"

namespace sluice::test {

/// The elements of a map, and how many may be in it.
template <typename Elements>
struct MapInMemory {
  Elements all;
  std::uint32_t capacity = 1 << 20;
};

class PolicyMaps {
 public:
  MapInMemory<std::map<std::uint32_t, maps::policy>> policies;
  MapInMemory<maps::Table<maps::policy_port_key, maps::policy_port>> ports;
  MapInMemory<maps::Table<maps::peer_key, maps::peer_verdict>> peers;
  MapInMemory<loader::state::policy::PrefixTable<maps::ipcache_entry>> ipcache;
  MapInMemory<maps::Table<maps::addr, maps::endpoint>> endpoints;
  std::uint32_t epoch = 1;
  /// Called after each step that changes something, with what it was: "peers". What it returns becomes the step's
  /// error, 0 for none: with an error, the step itself has been done.
  std::function<int(const std::string& map)> after_step;

  PolicyMaps() = default;
  /// As they are once these are in force.
  explicit PolicyMaps(const loader::state::policy::Tables& tables);

  /// The plugin makes a pod's address known; it waits for its policy.
  void attach(const Address& address, std::uint32_t ifindex);
  /// Writes here. Lives no longer than this does.
  loader::state::policy::Store store();
  /// How many elements there are of each map, and what they are, on one line.
  [[nodiscard]] std::string content() const;

  /// May the one open a connection to the other? As the programs decide it. A pod is known by its interface.
  [[nodiscard]] bool allow(const Address& client, const Address& server, loader::kube::Protocol protocol,
                           std::uint16_t port) const;

 private:
  [[nodiscard]] const maps::endpoint* pod_at(const Address& address) const;
  [[nodiscard]] maps::address_classes classes_of(const Address& address) const;
  [[nodiscard]] bool denies(std::uint32_t policy, maps::address_classes peer, loader::kube::Protocol protocol,
                            std::uint16_t port) const;
};

}  // namespace sluice::test
