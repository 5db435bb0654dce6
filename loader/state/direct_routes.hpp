/// The kernel's routes to pods of other nodes: on a flat network without tunnels, and into the tunnels for what the
/// node itself sends (its pods' packets need none for that).
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "loader/config.hpp"
#include "loader/net/netlink.hpp"
#include "loader/state/nodes.hpp"
#include "maps/result.hpp"

namespace sluice::loader::state {

struct DirectRoutes {
  std::set<std::uint32_t> routed;     ///< the numbers of the nodes to whose pods routes lead
  std::vector<net::Route> routes;     ///< through those of them that are on a link of this node, and into tunnels
  std::vector<std::string> warnings;  ///< nodes to whose pods no route leads, a sentence each
};

/// What is to be, by the links of the calling thread's network namespace. With Mode::kNative every node is reached by
/// routes; one that is not on a link of this node needs a routing daemon or routers that know the way. With
/// Mode::kMixed those are that have all the addresses on links that their pods' families need. The others' routes lead
/// to the tunnel device, where it is there, and name as the source this node's address of the family, which the others
/// know it by.
Result<DirectRoutes> plan_direct_routes(const NodePlan& plan, const NodeConfig& config);

}  // namespace sluice::loader::state
