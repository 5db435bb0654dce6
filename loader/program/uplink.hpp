/// The interfaces by which a node reaches the others and the world, in the calling thread's network namespace.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "loader/config.hpp"
#include "loader/net/netlink.hpp"
#include "loader/root.hpp"
#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

/// The MTU of the uplink: the default route's device, else the one that has an address of `config.node_addresses`, else
/// 1500.
int uplink_mtu(net::Netlink& netlink, const NodeConfig& config);

/// The MTU that pods' interfaces get: the configured one, else the uplink's, less what a tunnel needs.
int pod_mtu(net::Netlink& netlink, const NodeConfig& config);

/// What a tunnel over the family of the node's first address puts around a packet (maps/node.h).
int tunnel_overhead(const NodeConfig& config);

struct Uplink {
  int ifindex = 0;
  std::string name;
  std::string kind;  ///< "veth", "bond", ...; empty for a physical device
  int mtu = 0;
  /// What the node gives to what it translates: its configured address there, else the interface's first that is no
  /// link-local one, else its configured one. nullopt: it has none of the family.
  std::optional<Address> v4, v6;
};

struct Uplinks {
  std::vector<Uplink> all;
  std::vector<std::string> warnings;  ///< interfaces that cannot be used, a sentence each
};

/// Those that the configuration names and that are there; without names, those of both families' default routes, else
/// the one that has a node address.
Result<Uplinks> find_uplinks(const NodeConfig& config);

/// Tells the programs of the uplinks (maps/uplink.h), and of the ports that are the node's own.
Result<void> publish_uplinks(const Root& root, const std::vector<Uplink>& uplinks);

/// Puts from_uplink on the interface, or in the place of its predecessor there.
Result<void> attach_uplink(const Uplink& uplink, const Fd& program);

/// Takes from_uplink off every interface but these. The number of those that had it.
Result<std::size_t> detach_uplinks(const std::vector<Uplink>& but = {});

/// Attaches from_uplink to what has lost it or has come since, takes it off what is no uplink any more, tells the
/// programs, and says what was done. ENOENT: nothing is loaded.
Result<std::vector<std::string>> repair_uplinks(const Root& root, const NodeConfig& config);

/// The ports that no translated connection gets: NodePorts and those that the node's sockets choose from by themselves
/// (net.ipv4.ip_local_port_range). Where too few would be left, the NodePorts alone.
struct KeptPorts {
  std::uint16_t first = 0, last = 0;
};
KeptPorts kept_ports(std::uint16_t local_first, std::uint16_t local_last);

}  // namespace sluice::loader::program
