#include "loader/state/direct_routes.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "loader/program/overlay.hpp"
#include "loader/program/own_routes.hpp"

namespace sluice::loader::state {
namespace {

/// The link that the address is on. nullopt: on none, a router is between, or it is this node's own.
std::optional<int> link_of(net::Netlink& netlink, const Address& address) {
  const auto route = netlink.route_to(address);
  if (!route || route->gateway || route->to_ourselves) return std::nullopt;
  return route->ifindex;
}

std::optional<net::Route> direct_route(net::Netlink& netlink, const PodRoute& wanted) {
  const auto link = wanted.by ? link_of(netlink, *wanted.by) : std::nullopt;
  if (!link) return std::nullopt;
  return net::Route{
      .destination = wanted.pods, .family_v4 = wanted.pods.address.is_v4(), .gateway = wanted.by, .ifindex = *link};
}

/// Somebody else has told the kernel the way to these pods, and more closely than by a default route.
bool is_known_otherwise(net::Netlink& netlink, const Prefix& pods) {
  const auto route = netlink.route_to(pods.last());
  return route && route->destination && !route->to_ourselves && route->protocol != program::kRouteProtocol;
}

std::string warning(const PodRoute& wanted) {
  const std::string way = ": no route leads to its pods in " + wanted.pods.text();
  if (!wanted.by) return "Node " + wanted.node + " has no InternalIP of their family" + way;
  return "Node " + wanted.node + " (" + wanted.by->text() + ") is not on a link of this node" + way +
         ", unless a routing daemon or the network's routers know one";
}

void add_tunnel_routes(net::Netlink& netlink, const NodePlan& plan, const NodeConfig& config, DirectRoutes& direct) {
  const auto device = netlink.link(program::kOverlayDevice);
  if (!config.tunnels() || !device) return;
  for (const PodRoute& one : plan.routes) {
    const bool v4 = one.pods.address.is_v4();
    const auto source = std::ranges::find(config.node_addresses, v4, &Address::is_v4);
    if (direct.routed.contains(one.number) || source == config.node_addresses.end()) continue;
    direct.routes.push_back({.destination = one.pods, .family_v4 = v4, .ifindex = device->ifindex, .source = *source});
  }
}

}  // namespace

Result<DirectRoutes> plan_direct_routes(const NodePlan& plan, const NodeConfig& config) {
  DirectRoutes direct;
  const Mode mode = config.mode;
  if (mode == Mode::kNone) return direct;
  net::Netlink netlink = TRY(net::Netlink::open());
  for (auto one = plan.routes.begin(); mode != Mode::kOverlay && one != plan.routes.end();) {
    const std::uint32_t number = one->number;
    std::vector<net::Route> routes;
    std::vector<std::string> warnings;
    for (; one != plan.routes.end() && one->number == number; ++one) {
      if (auto route = direct_route(netlink, *one))
        routes.push_back(std::move(*route));
      else if (mode == Mode::kMixed || !is_known_otherwise(netlink, one->pods))
        warnings.push_back(warning(*one));
    }
    if (mode == Mode::kMixed && !warnings.empty()) continue;  // by a tunnel
    direct.routed.insert(number);
    std::ranges::move(routes, std::back_inserter(direct.routes));
    std::ranges::move(warnings, std::back_inserter(direct.warnings));
  }
  add_tunnel_routes(netlink, plan, config, direct);
  return direct;
}

}  // namespace sluice::loader::state
