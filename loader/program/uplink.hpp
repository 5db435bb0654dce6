/// The interface by which a node reaches the others and the world.
#pragma once

#include "loader/config.hpp"
#include "loader/net/netlink.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

/// The MTU of the uplink in the calling thread's network namespace: the default route's device, else the one that has
/// an address of `config.node_addresses`, else 1500.
int uplink_mtu(net::Netlink& netlink, const NodeConfig& config);

/// The MTU that pods' interfaces get: the configured one, else the uplink's, less what a tunnel needs.
int pod_mtu(net::Netlink& netlink, const NodeConfig& config);

/// What a tunnel over the family of the node's first address puts around a packet (maps/node.h).
int tunnel_overhead(const NodeConfig& config);

}  // namespace sluice::loader::program
