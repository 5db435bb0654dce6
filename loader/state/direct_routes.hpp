/// Pods of other nodes without tunnels: which nodes are reached so, and the routes to their pods on a flat network.
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
  std::vector<net::Route> routes;     ///< through those of them that are on a link of this node
  std::vector<std::string> warnings;  ///< nodes to whose pods no route leads, a sentence each
};

/// What is to be, by the links of the calling thread's network namespace. With Mode::kNative every node is reached by
/// routes; one that is not on a link of this node needs a routing daemon or routers that know the way. With
/// Mode::kMixed those are that have all the addresses on links that their pods' families need.
Result<DirectRoutes> plan_direct_routes(const NodePlan& plan, Mode mode);

}  // namespace sluice::loader::state
