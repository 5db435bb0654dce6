#include "loader/program/uplink.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "maps/node.h"

namespace sluice::loader::program {
namespace {

constexpr int kUsualMtu = 1500;

/// The device of the default route in the thread's network namespace. The kernel lists routes in the order of their
/// destinations, so that this reads one line however many pods there are.
std::optional<std::string> default_device() {
  std::ifstream routes("/proc/thread-self/net/route");
  std::string line, device, destination;
  std::getline(routes, line);
  std::getline(routes, line);
  if (std::istringstream(line) >> device >> destination && destination == "00000000") return device;

  std::ifstream routes6("/proc/thread-self/net/ipv6_route");
  while (std::getline(routes6, line)) {
    std::istringstream fields(line);
    std::string length, word;
    fields >> destination >> length;
    while (fields >> word) device = word;
    if (length == "00" && device != "lo") return device;
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
  const auto device = default_device();
  const auto link = device ? netlink.link(*device) : link_with(netlink, config.node_addresses);
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
