/// The cluster's policies to wanted map contents. Pure, but for the numbers that are given out.
///
/// NetworkPolicy v1 and ClusterNetworkPolicy (policy.networking.k8s.io). A pod is judged by its class (what its labels,
/// its namespace's and its named ports are), an address by the class of the blocks around it (maps/ipcache.h): rules
/// name classes, and pods with the same rules share a rule set.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "loader/state/cluster.hpp"
#include "loader/state/nodes.hpp"
#include "loader/state/policy/prefix_table.hpp"
#include "maps/address.hpp"
#include "maps/bytes.hpp"
#include "maps/endpoint.h"
#include "maps/ipcache.h"
#include "maps/policy.h"

namespace sluice::loader::state::policy {

/// A pod's interface on this node: the addresses are what its ADD gave it, whatever its object says yet.
struct LocalPod {
  std::string ns, name;  ///< empty: no pod of Kubernetes; it is known by its address alone
  std::vector<Address> addresses;
};

/// What ipcache is to say of an address.
struct AddressEntry {
  maps::address_classes classes{maps::IDENTITY_WORLD, 0};
  std::uint32_t node = 0;
};

struct Tables {
  std::map<std::uint32_t, maps::policy> policies;
  maps::Table<maps::policy_port_key, maps::policy_port> ports;
  maps::Table<maps::peer_key, maps::peer_verdict> peers;
  PrefixTable<AddressEntry> ipcache;
  bool no_policy_id = false;                 ///< more rule sets than there are numbers: not to be used
  bool too_many_rules = false;               ///< more than 65,535 for one direction of a pod: not to be used
  std::map<Address, maps::pod_policy> pods;  ///< of this node, by address
};

/// What a number stands for keeps it: equal content has the same number as long as this lives.
class Numbers {
 public:
  explicit Numbers(std::uint32_t first) : next_(first) {}
  std::uint32_t of(const std::string& content) {
    const auto [found, fresh] = numbers_.try_emplace(content, next_);
    if (fresh) next_++;
    return found->second;
  }

 private:
  std::map<std::string, std::uint32_t> numbers_;
  std::uint32_t next_;
};

/// The same from a bounded space, whose numbers come back.
class PolicyIds {
 public:
  PolicyIds(std::uint32_t first, std::uint32_t end) : first_(first), end_(end), next_(first) {}
  /// 0: none is left.
  std::uint32_t of(const std::string& content);
  /// In use, for content that is not known.
  void reserve(std::uint32_t id) { used_[id] = {}; }
  void give_back(std::uint32_t id);

 private:
  std::uint32_t first_, end_, next_;
  std::map<std::string, std::uint32_t> numbers_;
  std::map<std::uint32_t, std::string> used_;
};

/// First numbers that no map holds yet.
struct Numbering {
  Numbers classes{maps::IDENTITY_POD_FIRST}, sets{1};
  PolicyIds policies{2, 65536};
};

/// `managed`: this node's pods of Kubernetes get POLICY_INIT as long as their objects are not known; else they may do
/// everything.
/// `plan`: which addresses are behind which other node.
Tables compile(const Cluster& cluster, const std::string& node, const std::vector<LocalPod>& local, Numbering& numbers,
               bool managed = true, const NodePlan& plan = {});

}  // namespace sluice::loader::state::policy
