#include "loader/program/own_routes.hpp"

#include <algorithm>

namespace sluice::loader::program {
namespace {

bool same_destination(const net::Route& one, const net::Route& other) { return one.destination == other.destination; }

bool same(const net::Route& one, const net::Route& other) {
  return same_destination(one, other) && one.gateway == other.gateway && one.ifindex == other.ifindex &&
         one.source == other.source && one.mtu == other.mtu && one.priority == other.priority;
}

}  // namespace

Result<OwnRoutes> keep_own_routes(std::vector<net::Route> wanted) {
  net::Netlink netlink = TRY(net::Netlink::open());
  const std::vector<net::Route> there = TRY(netlink.routes_of(kRouteProtocol));
  OwnRoutes report;
  for (const net::Route& route : there) {
    if (std::ranges::any_of(wanted, [&](const auto& one) { return same_destination(one, route); })) continue;
    TRY(netlink.delete_route(route));
    report.written++;
  }
  for (net::Route& route : wanted) {
    route.protocol = kRouteProtocol;
    route.priority = kRoutePriority;
    if (std::ranges::any_of(there, [&](const auto& one) { return same(one, route); })) continue;
    const bool known = std::ranges::any_of(there, [&](const auto& one) { return same_destination(one, route); });
    if (auto done = known ? netlink.put_route(route) : netlink.add_route(route); done)
      report.written++;
    else
      report.refused.push_back(done.error().message);
  }
  return report;
}

Result<std::size_t> remove_own_routes() { return TRY(keep_own_routes({})).written; }

}  // namespace sluice::loader::program
