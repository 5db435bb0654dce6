/// Which addresses policy knows, and the classes of address blocks. Private to loader/state/policy.
///
/// Policy judges an address by the set of all blocks around it (its class, maps/ipcache.h), so overlapping blocks and
/// `except` are exact.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "loader/state/cluster.hpp"
#include "loader/state/nodes.hpp"
#include "loader/state/policy/numbers.hpp"
#include "loader/state/policy/prefix_table.hpp"
#include "loader/state/policy/subjects.hpp"

namespace sluice::loader::state::policy {

/// What ipcache is to say of an address.
struct AddressEntry {
  maps::address_classes classes{maps::IDENTITY_WORLD, 0};
  std::uint32_t node = 0;
};

/// Numbers of blocks, the largest block first.
using BlockSet = std::vector<std::uint32_t>;

/// All addresses that no rule can tell apart by where they are.
struct BlockClass {
  std::uint32_t id = 0;
  BlockSet blocks;
  std::optional<kube::Labels> node_labels;  ///< of the node whose address it is; none: of no node
  std::size_t members = 0;                  ///< how many addresses and blocks are of it
};

/// What the addresses follow from, beside the pods.
struct AddressSources {
  const std::string& node;  ///< this one: its own pods are not in ipcache
  NodePlan plan;
  std::vector<kube::ObjectPtr> nodes;     ///< all Nodes, by name
  std::vector<maps::ipcache_key> blocks;  ///< that policies name, each once, LargerFirst
  std::vector<Address> local;             ///< of this node's pods
};

/// Keeps up with what it follows from: each change costs what it touches.
class Addresses {
 public:
  /// One that knows nothing. Its versions are later than `former`.
  explicit Addresses(std::uint64_t former = 0);

  /// Takes what there is now, and those pods that are not as they were. `node` is always the same one.
  void take(AddressSources now, const SubjectChanges& pods, Numbering& numbers);

  [[nodiscard]] const PrefixTable<AddressEntry>& ipcache() const { return ipcache_; }
  /// Another one after each `take` that has changed ipcache.
  [[nodiscard]] std::uint64_t version() const { return version_; }
  /// What of ipcache is not as it was in the version before, LargerFirst.
  [[nodiscard]] const std::vector<maps::ipcache_key>& changes() const { return changes_; }
  /// Classes came or went with the last `take`.
  [[nodiscard]] bool classes_changed() const { return classes_changed_; }
  /// Of those in this block, one of the sources': who asks for `classes_in` of it may get another answer.
  [[nodiscard]] bool classes_changed_in(const Prefix& block) const;
  /// Of those of nodes.
  [[nodiscard]] bool node_classes_changed() const { return node_classes_changed_; }

  [[nodiscard]] bool has_class(std::uint32_t id) const { return classes_.contains(id); }
  /// The number of the class of an address of a pod of this node; 0: it is in no block.
  [[nodiscard]] std::uint32_t class_of_local(const Address& address) const;
  /// The classes of all addresses in `cidr` that are in none of `except`, all of which are among the sources' blocks.
  [[nodiscard]] std::vector<std::uint32_t> classes_in(const Prefix& cidr, const std::vector<Prefix>& except) const;
  /// The classes of nodes' addresses.
  void each_node(auto&& work) const {
    for (const auto& [id, one] : classes_)
      if (one.node_labels) work(id, *one.node_labels);
  }

 private:
  using Key = maps::ipcache_key;
  using Where = std::pair<BlockSet, std::optional<kube::Labels>>;

  /// Who says something of an address or a block. Of several, the last one counts.
  struct Claim {
    enum class By : std::uint8_t { kFamily, kBlock, kPlan, kPod, kNode };

    Key key;
    By by;
    kube::ObjectPtr object;  ///< the pod or node; else null
    std::uint32_t identity = maps::IDENTITY_WORLD;

    bool operator<(const Claim& other) const;
  };

  void put(Claim claim);
  void drop(const Claim& claim);
  void put_node(const kube::ObjectPtr& object, const std::string& node, bool there);
  void put_pod(const kube::ObjectPtr& object, std::uint32_t identity, const std::string& node, bool there);
  void take_plan(const NodePlan& plan);
  void take_nodes(const std::vector<kube::ObjectPtr>& nodes, const std::string& node);
  bool take_blocks(const std::vector<Key>& blocks);
  void take_local(const std::vector<Address>& local, Numbering& numbers);
  void settle(const Key& key, Numbering& numbers);
  std::uint32_t enter(const Key& key, const kube::Labels* node_labels, Numbering& numbers);
  void leave(std::uint32_t id);
  void drop_empty();
  void note_change_of(const BlockClass& one);
  [[nodiscard]] std::uint32_t node_of(const Key& key) const;

  NodePlan plan_;
  std::vector<kube::ObjectPtr> nodes_;
  std::vector<Key> named_;
  std::vector<Address> local_addresses_;

  std::set<Claim> claims_;
  std::vector<Key> touched_;           ///< of which something may have changed
  PrefixTable<std::uint32_t> blocks_;  ///< the number of each block that a policy names
  std::uint32_t next_block_ = 0;
  PrefixTable<std::uint32_t> behind_;  ///< the number of the node that a block is behind
  std::map<std::uint32_t, BlockClass> classes_;
  std::map<Where, std::uint32_t> class_ids_;
  std::map<std::uint32_t, std::set<std::uint32_t>> in_block_;  ///< classes by the number of the block
  std::set<std::uint32_t> empty_;                              ///< classes that may have no members any more
  bool classes_changed_ = false, node_classes_changed_ = false;
  std::set<std::uint32_t> changed_blocks_;  ///< the numbers of those with other classes in them
  PrefixTable<AddressEntry> ipcache_;
  std::vector<Key> changes_;
  std::uint64_t version_;
  std::map<Address, std::uint32_t> local_;
};

}  // namespace sluice::loader::state::policy
