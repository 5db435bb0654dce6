/// From the cluster's Nodes to what the datapath knows of them: the other ends of tunnels (maps/node.h), and which
/// addresses are behind which node (maps/ipcache.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "loader/kube/node.hpp"
#include "loader/state/cluster.hpp"
#include "maps/address.hpp"
#include "maps/ipcache.h"
#include "maps/result.hpp"

namespace sluice::loader::state {

/// The cluster's Nodes by name.
using NodesByName = std::map<std::string, const kube::Node*>;

/// The numbers that nodes have now, by the other end of their tunnel.
using NodeNumbers = std::map<Address, std::uint32_t>;

/// Whose an address block is.
struct AddressOwner {
  std::uint32_t identity = 0;  ///< enum identity (maps/ipcache.h)
  std::uint32_t node = 0;      ///< its number; 0: none
  bool operator==(const AddressOwner&) const = default;
};

/// A block of another node's pods, and by which of its addresses a route leads there.
struct PodRoute {
  std::string node;
  std::uint32_t number = 0;  ///< the node's
  Prefix pods;
  std::optional<Address> by;  ///< its first InternalIP of the block's family; nullopt: it has none
};

struct NodePlan {
  NodeNumbers nodes;             ///< the other nodes; their numbers begin at 1
  std::vector<PodRoute> routes;  ///< to the pods of each of them, node by node
  /// What is known of the addresses of nodes and of the pod CIDRs of other ones. Whoever writes more into `ipcache`
  /// (pods, policies' blocks) takes these, too, and asks `node_of` for each of its own.
  std::vector<std::pair<Prefix, AddressOwner>> prefixes;
  std::vector<std::string> warnings;  ///< nodes that cannot be reached, a sentence each

  /// The number of the node that this block is behind; 0: of none, or not as a whole.
  [[nodiscard]] std::uint32_t node_of(const Prefix& block) const;
};

/// A tunnel goes to the first InternalIP of the other node whose family is that of this node's first one, else to its
/// first of a family that both have. A node that has a number in `known` keeps it; the others get the lowest that are
/// free. `capacity` is that of the map.
NodePlan plan_nodes(const NodesByName& nodes, const std::string& this_node, const NodeNumbers& known,
                    std::uint32_t capacity);

/// What is in `nodes` under this folder of maps. ENOENT: nothing is loaded.
Result<NodeNumbers> read_nodes(const std::filesystem::path& maps);

/// The same from the cluster's Node objects and what is under this folder of maps.
Result<NodePlan> plan_nodes(const Cluster& cluster, const std::string& this_node, const std::filesystem::path& maps);

/// Makes `nodes` hold the other nodes that the plan has, by writing what differs; to the pods of those whose numbers
/// are in `routed` lead routes, to all others' tunnels. The plan's prefixes are the policy compiler's to write, which
/// knows more of each address.
Result<std::size_t> write_nodes(const std::filesystem::path& maps, const NodePlan& plan,
                                const std::set<std::uint32_t>& routed = {});

}  // namespace sluice::loader::state
