#include "loader/observe/route.hpp"

#include <algorithm>

#include "loader/config.hpp"
#include "loader/net/netlink.hpp"
#include "loader/observe/cluster_names.hpp"
#include "maps/trie_key.hpp"
#include "maps/views.hpp"

namespace sluice::loader::observe {
namespace {

/// What is looked at for one address.
struct Question {
  const Root& root;
  const Address& address;
  NodeConfig config;
  maps::ipcache_entry known{};  ///< what the address map has
};

std::string device_name(int ifindex) {
  auto netlink = net::Netlink::open();
  const auto link = netlink ? netlink->link(ifindex) : netlink.error();
  return link ? link->name : "";
}

/// The uplink that the kernel's way to the address goes by, as the datapath knows it.
Result<std::optional<maps::uplink>> uplink_of(const Question& asked, const KernelWay& way) {
  auto netlink = TRY(net::Netlink::open());
  const auto link = netlink.link(way.device);
  if (way.device.empty() || !link) return std::optional<maps::uplink>();
  return TRY(maps::open<maps::Uplinks>(asked.root.maps())).lookup(static_cast<std::uint32_t>(link->ifindex));
}

void take_way(RouteStatus& status, const KernelWay& way) {
  status.device = way.device;
  status.next_hop = way.gateway;
}

RouteStatus by_stack(const Question& asked, std::string text) {
  RouteStatus status{.way = "stack", .text = std::move(text)};
  take_way(status, kernel_way(asked.address));
  return status;
}

Result<RouteStatus> to_node(const Question& asked, std::uint32_t number) {
  const auto nodes = TRY(maps::open<maps::Nodes>(asked.root.maps()));
  const auto node = TRY(nodes.lookup(number));
  const Address end = node ? Address(node->address) : Address();
  if (!node || end == Address())
    return RouteStatus{.way = "tunnel", .text = "it is dropped: the datapath knows no such node any more"};
  if ((node->flags & NODE_NATIVE) == 0) {
    const auto here = TRY(nodes.lookup(NODE_HERE));
    const int overhead = end.is_v4() ? TUNNEL_OVERHEAD_V4 : TUNNEL_OVERHEAD_V6;
    RouteStatus status{.way = "tunnel", .text = "a tunnel to " + end.text() + " carries it"};
    take_way(status, kernel_way(end));
    status.mtu = here ? static_cast<int>(here->mtu) - overhead : 0;
    return status;
  }
  const KernelWay way = kernel_way(asked.address);
  const auto uplink = TRY(uplink_of(asked, way));
  if (!uplink) return by_stack(asked, "the host's stack routes it: no route by an uplink leads there");
  RouteStatus status{.way = "route", .text = "it leaves by the uplink as it is"};
  take_way(status, way);
  status.mtu = static_cast<int>(uplink->mtu);
  return status;
}

bool masquerades(const NodeConfig& config, const Address& address) {
  const auto holds = [&](const Prefix& block) { return block.contains(address); };
  return config.masquerades() && std::ranges::none_of(config.pod_cidrs, holds) &&
         std::ranges::none_of(config.non_masquerade_cidrs, holds);
}

Result<RouteStatus> to_outside(const Question& asked) {
  if (!masquerades(asked.config, asked.address))
    return by_stack(asked, "the host's stack routes it, under the pod's address");
  const KernelWay way = kernel_way(asked.address);
  const auto uplink = TRY(uplink_of(asked, way));
  if (!uplink) return by_stack(asked, "the host's stack routes it, under the pod's address: its way is by no uplink");
  const Address source(asked.address.is_v4() ? uplink->v4 : uplink->v6);
  RouteStatus status{.way = "uplink", .text = "it leaves by the uplink under the node's address"};
  if (source == Address())
    status.text = "it is dropped: the node has no address of its family on the uplink";
  else
    status.source = source;
  take_way(status, way);
  status.mtu = static_cast<int>(uplink->mtu);
  return status;
}

/// The name of the node with this number.
Result<std::string> name_of_node(const Root& root, const ClusterNames& names, std::uint32_t number) {
  const auto node = TRY(TRY(maps::open<maps::Nodes>(root.maps())).lookup(number));
  const std::string name = node ? names.of(Address(node->address)) : "";
  return name.starts_with("node ") ? name.substr(5) : name;
}

/// Some port of the address is a Service's, and the address is no node's.
Result<bool> is_service(const Question& asked) {
  bool found = false;
  TRY(TRY(maps::open<maps::Services>(asked.root.maps()))
          .each([&](const maps::service_key& key, const maps::service& service) {
            found |= Address(key.addr) == asked.address && (service.flags & SERVICE_NODE_PORT) == 0;
          }));
  return found;
}

Result<RouteStatus> decide(const Question& asked, const ClusterNames& names) {
  const Root& root = asked.root;
  const std::string name = names.of(asked.address);
  if (const auto pod = TRY(TRY(maps::open<maps::Endpoints>(root.maps())).lookup(asked.address.wire()))) {
    RouteStatus status{.who = name.empty() ? "a pod of this node" : name, .way = "pod", .text = "it is delivered"};
    status.device = device_name(static_cast<int>(pod->ifindex));
    status.mtu = pod->mtu;
    return status;
  }
  if (TRY(is_service(asked)))
    return RouteStatus{.who = "a Service",
                       .way = "service",
                       .text = "its ports lead to endpoints, the others are refused: `bpfctl trace` says to which"};
  const std::uint32_t identity = asked.known.classes[0].identity;
  if (identity == maps::IDENTITY_HOST) {
    RouteStatus status = by_stack(asked, "it is the node's own");
    status.who = "this node";
    return status;
  }
  RouteStatus status;
  if (asked.known.node == 0) {
    status = TRY(to_outside(asked));
    status.who = name.empty() ? "the world" : name;
    return status;
  }
  const std::string node = TRY(name_of_node(root, names, asked.known.node));
  if (identity == maps::IDENTITY_REMOTE_NODE) {
    const auto entry = TRY(TRY(maps::open<maps::Nodes>(root.maps())).lookup(asked.known.node));
    status = entry && (entry->flags & NODE_NATIVE) != 0
                 ? by_stack(asked, "the host's stack routes it, under the pod's address: the node knows the way back")
                 : TRY(to_outside(asked));
    status.who = "node " + node;
  } else {
    status = TRY(to_node(asked, asked.known.node));
    status.who = name.empty() ? "a pod of " + node : name;
  }
  status.node = node;
  return status;
}

}  // namespace

Result<RouteStatus> route(const Root& root, const Address& address) {
  Question asked{root, address, TRY(NodeConfig::read(root)), {}};
  // The trie answers with the longest prefix around the address.
  const auto entry =
      TRY(TRY(maps::open<maps::Ipcache>(root.maps())).lookup(maps::ipcache_key_of(Prefix::host(address))));
  if (entry) asked.known = *entry;
  RouteStatus status = TRY(decide(asked, TRY(ClusterNames::read(root))));
  status.identity = asked.known.classes[0].identity;
  return status;
}

}  // namespace sluice::loader::observe
