#include "loader/observe/nodes.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "loader/config.hpp"
#include "loader/kube/folder_source.hpp"
#include "loader/net/netlink.hpp"
#include "loader/state/nodes.hpp"
#include "maps/views.hpp"

namespace sluice::loader::observe {
namespace {

const char* words(net::NeighbourState state) {
  switch (state) {
    case net::NeighbourState::kAnswers:
      return "answers";
    case net::NeighbourState::kAnswered:
      return "answered a while ago";
    case net::NeighbourState::kSilent:
      return "does not answer";
    default:
      return "not asked lately";
  }
}

std::string reachability(const KernelWay& way) {
  if (way.device.empty()) return "no route to its address";
  return way.gateway ? "by router " + way.gateway->text() + ", which " + way.neighbour : way.neighbour;
}

std::map<std::string, kube::Node> node_objects(const Root& root) {
  std::map<std::string, kube::Node> found;
  const auto source = kube::FolderSource::open(root.objects(), root.state() / "objects");
  const auto batch = source ? (*source)->take() : source.error();
  if (!batch) return found;
  for (const kube::Change& change : batch->changes)
    if (change.object)
      if (const auto* node = std::get_if<kube::Node>(&change.object->body)) found[change.object->id.name] = *node;
  return found;
}

/// What the datapath has of the node, and by which of its addresses.
std::optional<std::pair<Address, maps::node>> known(const std::map<Address, maps::node>& map, const kube::Node& node) {
  for (const Address& address : node.internal_addresses)
    if (const auto found = map.find(address); found != map.end()) return *found;
  return std::nullopt;
}

NodeStatus other(const Address& address, const maps::node& node, std::uint32_t uplink_mtu) {
  NodeStatus status{.addresses = {address}};
  const KernelWay way = kernel_way(address);
  const bool routed = (node.flags & NODE_NATIVE) != 0;
  status.way = routed ? "route" : "tunnel";
  status.device = way.device;
  status.mtu = way.mtu;
  if (!routed) status.mtu = static_cast<int>(uplink_mtu) - (address.is_v4() ? TUNNEL_OVERHEAD_V4 : TUNNEL_OVERHEAD_V6);
  status.reachability = reachability(way);
  return status;
}

}  // namespace

KernelWay kernel_way(const Address& address) {
  KernelWay way;
  auto netlink = net::Netlink::open();
  const auto route = netlink ? netlink->route_to(address) : netlink.error();
  const auto link = route ? netlink->link(route->ifindex) : route.error();
  if (!link) return way;
  way.gateway = route->gateway;
  way.device = link->name;
  way.mtu = route->mtu != 0 ? route->mtu : link->mtu;
  const auto state = netlink->neighbour(route->ifindex, way.gateway.value_or(address));
  way.neighbour = words(state ? *state : net::NeighbourState::kUnknown);
  return way;
}

Result<std::vector<NodeStatus>> nodes(const Root& root) {
  const auto config = NodeConfig::read(root);
  const std::string here = config ? config->name() : "";
  std::map<Address, maps::node> map;
  maps::node own{};
  TRY(TRY(maps::open<maps::Nodes>(root.maps())).each([&](std::uint32_t number, const maps::node& node) {
    if (number == NODE_HERE)
      own = node;
    else if (Address(node.address) != Address())
      map.emplace(Address(node.address), node);
  }));
  std::vector<NodeStatus> all;
  for (const auto& [name, node] : node_objects(root)) {
    NodeStatus status{};
    if (const auto has = known(map, node)) {
      status = other(has->first, has->second, own.mtu);
      map.erase(has->first);
    } else if (name == here) {
      status.way = "here";
      status.reachability = "this node";
    } else if (config && config->mode == Mode::kNone && !node.internal_addresses.empty()) {
      status = other(node.internal_addresses.front(), {}, 0);
      status.way = "stack";
      status.mtu = 0;
    } else {
      status.reachability = "the datapath does not know it: `bpfctl status` says why";
    }
    status.name = name;
    status.addresses = node.internal_addresses;
    status.pod_cidrs = node.pod_cidrs;
    all.push_back(std::move(status));
  }
  for (const auto& [address, node] : map) all.push_back(other(address, node, own.mtu));
  std::ranges::sort(all, {}, &NodeStatus::name);
  return all;
}

}  // namespace sluice::loader::observe
