/// Who policies are about: pods by class, and the classes of address blocks. Private to loader/state/policy.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "loader/state/policy/blocks.hpp"
#include "loader/state/policy/compile.hpp"

namespace sluice::loader::state::policy {

/// All pods that no rule can tell apart.
struct PodClass {
  std::uint32_t id = 0;
  std::string ns;
  const kube::Labels* labels = nullptr;
  const kube::Labels* ns_labels = nullptr;
  const std::vector<kube::ContainerPort>* ports = nullptr;
};

/// All addresses that no rule can tell apart by where they are.
struct BlockClass {
  std::uint32_t id = 0;
  BlockSet blocks;
  const kube::Labels* node_labels = nullptr;  ///< of the node whose address it is; null: of none
};

struct Subjects {
  std::map<kube::ObjectId, std::size_t> pods;  ///< -> index into pod_classes; those in the host's network are left out
  std::vector<PodClass> pod_classes;
  Blocks blocks;
  std::vector<BlockClass> block_classes;
  std::map<std::pair<BlockSet, const kube::Labels*>, std::uint32_t> block_class_ids;
  std::map<std::string, kube::Labels> ns_labels;

  /// The class of an address, made where it is new; 0: in no block, and no node's.
  std::uint32_t class_of(const Prefix& prefix, const kube::Labels* node_labels, Numbering& numbers);
};

/// All pods of the cluster and all blocks that its policies name.
Subjects find_subjects(const Cluster& cluster, Numbering& numbers);

}  // namespace sluice::loader::state::policy
