/// Which addresses policy knows, and the classes of address blocks. Private to loader/state/policy.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "loader/state/cluster.hpp"
#include "loader/state/nodes.hpp"
#include "loader/state/policy/blocks.hpp"
#include "loader/state/policy/numbers.hpp"
#include "loader/state/policy/prefix_table.hpp"
#include "loader/state/policy/subjects.hpp"

namespace sluice::loader::state::policy {

/// What ipcache is to say of an address.
struct AddressEntry {
  maps::address_classes classes{maps::IDENTITY_WORLD, 0};
  std::uint32_t node = 0;
};

/// All addresses that no rule can tell apart by where they are.
struct BlockClass {
  std::uint32_t id = 0;
  BlockSet blocks;
  const kube::Labels* node_labels = nullptr;  ///< of the node whose address it is; null: of none
};

/// What the addresses follow from.
struct AddressSources {
  const Cluster& cluster;
  const std::string& node;  ///< this one: its own pods are not in ipcache
  const Subjects& subjects;
  const NodePlan& plan;
  const std::vector<Prefix>& blocks;  ///< that policies name
  const std::vector<Address>& local;  ///< of this node's pods
};

class Addresses {
 public:
  Addresses(const AddressSources& sources, Numbering& numbers);

  [[nodiscard]] const PrefixTable<AddressEntry>& ipcache() const { return ipcache_; }
  [[nodiscard]] const std::vector<BlockClass>& classes() const { return classes_; }
  /// The number of the class of an address of a pod of this node; 0: it is in no block.
  [[nodiscard]] std::uint32_t class_of_local(const Address& address) const;
  /// The classes of all addresses in `cidr` that are in none of `except`, all of which are among the sources' blocks.
  [[nodiscard]] std::vector<std::uint32_t> classes_in(const Prefix& cidr, const std::vector<Prefix>& except) const;
  /// The classes of nodes' addresses.
  void each_node(auto&& work) const {
    for (const BlockClass& one : classes_)
      if (one.node_labels != nullptr) work(one.id, *one.node_labels);
  }
  /// No rule sees a difference.
  [[nodiscard]] bool same_classes(const Addresses& other) const;

 private:
  std::uint32_t class_of(const Prefix& prefix, const kube::Labels* node_labels, std::uint32_t wish);
  [[nodiscard]] std::uint32_t node_of(const Prefix& prefix) const;

  Numbering& numbers_;
  Blocks blocks_;
  std::vector<BlockClass> classes_;
  std::map<std::pair<BlockSet, const kube::Labels*>, std::uint32_t> class_ids_;
  std::vector<std::vector<std::size_t>> in_block_;  ///< indices into classes_, by the number of the block
  PrefixTable<std::uint32_t> nodes_[2];             ///< which node a block is behind; of IPv6, of IPv4
  PrefixTable<AddressEntry> ipcache_;
  std::map<Address, std::uint32_t> local_;
};

}  // namespace sluice::loader::state::policy
