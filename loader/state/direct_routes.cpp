#include "loader/state/direct_routes.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

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

}  // namespace

Result<DirectRoutes> plan_direct_routes(const NodePlan& plan, Mode mode) {
  DirectRoutes direct;
  if (mode != Mode::kNative && mode != Mode::kMixed) return direct;
  net::Netlink netlink = TRY(net::Netlink::open());
  for (auto one = plan.routes.begin(); one != plan.routes.end();) {
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
  return direct;
}

}  // namespace sluice::loader::state
