#include "loader/program/uplink.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>

#include "maps/node.h"

namespace sluice::loader::program {
namespace {

constexpr int kUsualMtu = 1500;

/// The link of the default route. It is the way to an address that nobody has: of a block for documents (RFC 5737) or
/// for discards (RFC 6666). Asking the kernel for that one costs the same however many routes to pods there are.
std::optional<net::Link> default_link(net::Netlink& netlink) {
  for (const char* nobody : {"192.0.2.1", "100::1"}) {
    const auto route = netlink.route_to(Address::parse(nobody).value_or({}));
    if (!route || route->destination) continue;
    if (auto link = netlink.link(route->ifindex)) return *link;
  }
  return std::nullopt;
}

/// The link that has one of these addresses. ENODEV: none has.
Result<net::Link> link_with(net::Netlink& netlink, const std::vector<Address>& addresses) {
  if (!addresses.empty()) {
    for (const net::Link& link : TRY(netlink.links()))
      for (const Prefix& own : TRY(netlink.addresses(link.ifindex)))
        if (std::ranges::find(addresses, own.address) != addresses.end()) return link;
  }
  return refuse(ENODEV, "no interface has an address of this node");
}

}  // namespace

int uplink_mtu(net::Netlink& netlink, const NodeConfig& config) {
  if (const auto link = default_link(netlink)) return link->mtu;
  const auto link = link_with(netlink, config.node_addresses);
  return link ? link->mtu : kUsualMtu;
}

int pod_mtu(net::Netlink& netlink, const NodeConfig& config) {
  if (config.mtu != 0) return config.mtu;
  const int mtu = uplink_mtu(netlink, config);
  return config.mode == Mode::kOverlay ? mtu - tunnel_overhead(config) : mtu;
}

int tunnel_overhead(const NodeConfig& config) {
  const bool v6 = !config.node_addresses.empty() && !config.node_addresses.front().is_v4();
  return v6 ? TUNNEL_OVERHEAD_V6 : TUNNEL_OVERHEAD_V4;
}

}  // namespace sluice::loader::program
