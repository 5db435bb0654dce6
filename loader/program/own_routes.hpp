/// The routes that Sluice itself makes, in the calling thread's network namespace: in the main table, known by their
/// protocol, so that no other is ever touched.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "loader/net/netlink.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

/// The number that `ip route` shows as "proto 83". Nobody's in rtnetlink(7) and iproute2's rt_protos.
inline constexpr int kRouteProtocol = 83;

/// A route that a routing daemon or an administrator has made to the same destination comes before ours: those have 0
/// (IPv4 by hand), 32 (BIRD) or 1024 (IPv6 by hand).
inline constexpr unsigned kRoutePriority = 4096;

struct OwnRoutes {
  std::size_t written = 0;           ///< routes made, changed or deleted
  std::vector<std::string> refused;  ///< by the kernel, a sentence each
};

/// Makes those of our protocol these. `wanted` has one for each destination; protocol and priority are set here.
Result<OwnRoutes> keep_own_routes(std::vector<net::Route> wanted);

/// All of them go. Returns their number.
Result<std::size_t> remove_own_routes();

}  // namespace sluice::loader::program
