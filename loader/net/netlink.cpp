#include "loader/net/netlink.hpp"

#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/addr.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet6.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/link/vxlan.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/route.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <functional>

#include "loader/net/socket.hpp"

namespace sluice::loader::net {

namespace {

struct ObjectDelete {
  void operator()(rtnl_link* link) const { rtnl_link_put(link); }
  void operator()(rtnl_addr* address) const { rtnl_addr_put(address); }
  void operator()(rtnl_route* route) const { rtnl_route_put(route); }
  void operator()(rtnl_neigh* neighbour) const { rtnl_neigh_put(neighbour); }
};

template <typename T>
using Owned = std::unique_ptr<T, ObjectDelete>;

int family_of(const Address& address) { return address.is_v4() ? AF_INET : AF_INET6; }

NlAddr nl_address(const Prefix& prefix) {
  NlAddr result(nl_addr_build(family_of(prefix.address), prefix.address.bytes(), prefix.address.bytes_size()));
  if (result) nl_addr_set_prefixlen(result.get(), static_cast<int>(prefix.length));
  return result;
}

NlAddr nl_address(const Address& address) { return nl_address(Prefix::host(address)); }
NlAddr nl_address(const Mac& mac) { return NlAddr(nl_addr_build(AF_LLC, mac.bytes.data(), mac.bytes.size())); }

/// nullopt: not an address of a family that Sluice carries.
std::optional<Prefix> prefix_of(nl_addr* address) {
  if (address == nullptr) return std::nullopt;
  const int family = nl_addr_get_family(address);
  const unsigned length = nl_addr_get_len(address);
  const unsigned bits = nl_addr_get_prefixlen(address);
  // The address of a default route has no bytes.
  if (length == 0 && bits == 0)
    return Prefix{Address::from_bytes("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", family == AF_INET), 0};
  if ((family != AF_INET || length != 4) && (family != AF_INET6 || length != 16)) return std::nullopt;
  return Prefix{Address::from_bytes(nl_addr_get_binary_addr(address), family == AF_INET), bits};
}

Mac mac_of(nl_addr* address) {
  Mac mac;
  if (address != nullptr && nl_addr_get_len(address) == mac.bytes.size()) {
    std::memcpy(mac.bytes.data(), nl_addr_get_binary_addr(address), mac.bytes.size());
  }
  return mac;
}

Link link_of(nl_object* object) {
  auto* const link = reinterpret_cast<rtnl_link*>(object);
  const auto text = [](const char* string) { return std::string(string != nullptr ? string : ""); };
  Link result;
  result.ifindex = rtnl_link_get_ifindex(link);
  result.peer_ifindex = rtnl_link_get_link(link);
  result.master_ifindex = rtnl_link_get_master(link);
  result.name = text(rtnl_link_get_name(link));
  result.alias = text(rtnl_link_get_ifalias(link));
  result.kind = text(rtnl_link_get_type(link));
  result.mac = mac_of(rtnl_link_get_addr(link));
  result.mtu = static_cast<int>(rtnl_link_get_mtu(link));
  result.up = (rtnl_link_get_flags(link) & IFF_UP) != 0;
  result.no_arp = (rtnl_link_get_flags(link) & IFF_NOARP) != 0;
  return result;
}

/// The change of one link named by its index, as a message. Index 0: of the link with the name that `set` sets.
Message change_link(int ifindex, const std::function<void(rtnl_link*)>& set) {
  const Owned<rtnl_link> original(rtnl_link_alloc());
  const Owned<rtnl_link> changes(rtnl_link_alloc());
  if (!original || !changes) return nullptr;
  rtnl_link_set_ifindex(original.get(), ifindex);
  set(changes.get());
  nl_msg* message = nullptr;
  if (rtnl_link_build_change_request(original.get(), changes.get(), 0, &message) < 0) return nullptr;
  return Message(message);
}

Message add_link(rtnl_link* link) {
  nl_msg* message = nullptr;
  if (rtnl_link_build_add_request(link, NLM_F_CREATE | NLM_F_EXCL, &message) < 0) return nullptr;
  return Message(message);
}

}  // namespace

Result<Link> Netlink::link(const std::string& name) {
  const auto doing = "look up device " + name;
  if (name.empty() || name.size() >= IFNAMSIZ) return fail(ENODEV, doing);
  nl_msg* message = nullptr;
  if (rtnl_link_build_get_request(0, name.c_str(), &message) < 0) return fail(ENOMEM, doing);
  Link found;
  TRY(socket_->exchange(Message(message), doing, [&](nl_object* object) { found = link_of(object); }));
  return found;
}

Result<Link> Netlink::link(int ifindex) {
  const auto doing = "look up device " + std::to_string(ifindex);
  if (ifindex <= 0) return fail(ENODEV, doing);
  nl_msg* message = nullptr;
  if (rtnl_link_build_get_request(ifindex, nullptr, &message) < 0) return fail(ENOMEM, doing);
  Link found;
  TRY(socket_->exchange(Message(message), doing, [&](nl_object* object) { found = link_of(object); }));
  return found;
}

Result<std::vector<Link>> Netlink::links() {
  return socket_->dump<Link>([] { return dump_request(RTM_GETLINK, ifinfomsg{}); }, "list devices",
                             [](nl_object* object, auto& found) { found.push_back(link_of(object)); });
}

Result<void> Netlink::create_veth(const VethSpec& spec, const Netns& pod_netns) {
  const auto doing = "make veth pair " + spec.host_name + " and " + spec.pod_name;
  // libnl would cut a long name, the kernel choose one where there is none.
  for (const auto& name : {spec.host_name, spec.pod_name}) {
    if (name.empty() || name.size() >= IFNAMSIZ) return refuse(EINVAL, doing + ": \"" + name + "\" is no device name");
  }
  const Owned<rtnl_link> host(rtnl_link_veth_alloc());
  if (!host) return fail(ENOMEM, doing);
  const Owned<rtnl_link> pod(rtnl_link_veth_get_peer(host.get()));
  rtnl_link_set_name(host.get(), spec.host_name.c_str());
  rtnl_link_set_addr(host.get(), nl_address(spec.host_mac).get());
  rtnl_link_set_mtu(host.get(), static_cast<unsigned>(spec.mtu));
  rtnl_link_set_name(pod.get(), spec.pod_name.c_str());
  rtnl_link_set_addr(pod.get(), nl_address(spec.pod_mac).get());
  rtnl_link_set_mtu(pod.get(), static_cast<unsigned>(spec.mtu));
  rtnl_link_set_ns_fd(pod.get(), pod_netns.fd());
  TRY(socket_->exchange(add_link(host.get()), doing));
  // The kernel takes neither alias nor address generation mode in the request that makes a device.
  const auto set = [&](rtnl_link* link) {
    rtnl_link_set_name(link, spec.host_name.c_str());
    if (!spec.host_alias.empty()) rtnl_link_set_ifalias(link, spec.host_alias.c_str());
    rtnl_link_inet6_set_addr_gen_mode(link, IN6_ADDR_GEN_MODE_NONE);
  };
  auto changed = socket_->exchange(change_link(0, set), doing);
  if (!changed) (void)delete_link(spec.host_name);
  return changed;
}

Result<void> Netlink::create_bridge(const std::string& name, int mtu) {
  const Owned<rtnl_link> bridge(rtnl_link_alloc());
  if (!bridge || rtnl_link_set_type(bridge.get(), "bridge") < 0) return fail(ENOMEM, "make bridge " + name);
  rtnl_link_set_name(bridge.get(), name.c_str());
  rtnl_link_set_mtu(bridge.get(), static_cast<unsigned>(mtu));
  rtnl_link_set_flags(bridge.get(), IFF_UP);
  return socket_->exchange(add_link(bridge.get()), "make bridge " + name);
}

Result<void> Netlink::create_vxlan(const VxlanSpec& spec) {
  const auto doing = "make tunnel device " + spec.name;
  const Owned<rtnl_link> vxlan(rtnl_link_vxlan_alloc());
  if (!vxlan) return fail(ENOMEM, doing);
  rtnl_link_set_name(vxlan.get(), spec.name.c_str());
  rtnl_link_set_addr(vxlan.get(), nl_address(spec.mac).get());
  rtnl_link_set_mtu(vxlan.get(), static_cast<unsigned>(spec.mtu));
  rtnl_link_vxlan_set_collect_metadata(vxlan.get(), 1);
  rtnl_link_vxlan_set_learning(vxlan.get(), 0);
  rtnl_link_vxlan_set_port(vxlan.get(), spec.port);
  TRY(socket_->exchange(add_link(vxlan.get()), doing));
  const auto set = [&](rtnl_link* link) {
    rtnl_link_set_name(link, spec.name.c_str());
    rtnl_link_inet6_set_addr_gen_mode(link, IN6_ADDR_GEN_MODE_NONE);
    rtnl_link_set_flags(link, IFF_UP | IFF_NOARP);
  };
  auto changed = socket_->exchange(change_link(0, set), doing);
  if (!changed) (void)delete_link(spec.name);
  return changed;
}

Result<std::optional<VxlanSpec>> Netlink::vxlan(const std::string& name) {
  const auto doing = "look up tunnel device " + name;
  nl_msg* message = nullptr;
  if (rtnl_link_build_get_request(0, name.c_str(), &message) < 0) return fail(ENOMEM, doing);
  std::optional<VxlanSpec> found;
  TRY(socket_->exchange(Message(message), doing, [&](nl_object* object) {
    auto* const link = reinterpret_cast<rtnl_link*>(object);
    std::uint32_t port = 0;
    if (!rtnl_link_is_vxlan(link) || rtnl_link_vxlan_get_collect_metadata(link) != 1 ||
        rtnl_link_vxlan_get_port(link, &port) < 0)
      return;
    const Link seen = link_of(object);
    found = VxlanSpec{seen.name, seen.mac, seen.mtu, static_cast<std::uint16_t>(port)};
  }));
  return found;
}

Result<void> Netlink::delete_link(const std::string& name) {
  const auto doing = "delete device " + name;
  const Owned<rtnl_link> link(rtnl_link_alloc());
  if (!link) return fail(ENOMEM, doing);
  rtnl_link_set_name(link.get(), name.c_str());
  nl_msg* message = nullptr;
  if (rtnl_link_build_delete_request(link.get(), &message) < 0) return fail(ENOMEM, doing);
  auto deleted = socket_->exchange(Message(message), doing);
  if (deleted.failed_with(ENODEV)) return {};
  return deleted;
}

Result<void> Netlink::set_up(int ifindex) {
  return socket_->exchange(change_link(ifindex, [](rtnl_link* link) { rtnl_link_set_flags(link, IFF_UP); }),
                           "set device " + std::to_string(ifindex) + " up");
}

Result<void> Netlink::set_no_arp(int ifindex) {
  return socket_->exchange(change_link(ifindex, [](rtnl_link* link) { rtnl_link_set_flags(link, IFF_NOARP); }),
                           "let device " + std::to_string(ifindex) + " ask for no neighbours");
}

Result<void> Netlink::set_mtu(int ifindex, int mtu) {
  return socket_->exchange(
      change_link(ifindex, [=](rtnl_link* link) { rtnl_link_set_mtu(link, static_cast<unsigned>(mtu)); }),
      "set MTU " + std::to_string(mtu) + " of device " + std::to_string(ifindex));
}

Result<void> Netlink::set_mac(int ifindex, const Mac& mac) {
  const auto address = nl_address(mac);
  return socket_->exchange(change_link(ifindex, [&](rtnl_link* link) { rtnl_link_set_addr(link, address.get()); }),
                           "set MAC address " + mac.text() + " of device " + std::to_string(ifindex));
}

Result<void> Netlink::set_master(int ifindex, int master_ifindex) {
  return socket_->exchange(change_link(ifindex, [=](rtnl_link* link) { rtnl_link_set_master(link, master_ifindex); }),
                           "put device " + std::to_string(ifindex) + " under device " + std::to_string(master_ifindex));
}

Result<void> Netlink::add_address(int ifindex, const Prefix& address) {
  const auto doing = "add address " + address.text() + " to device " + std::to_string(ifindex);
  const Owned<rtnl_addr> request(rtnl_addr_alloc());
  if (!request || rtnl_addr_set_local(request.get(), nl_address(address).get()) < 0) return fail(ENOMEM, doing);
  rtnl_addr_set_ifindex(request.get(), ifindex);
  if (!address.address.is_v4()) rtnl_addr_set_flags(request.get(), IFA_F_NODAD);
  nl_msg* message = nullptr;
  if (rtnl_addr_build_add_request(request.get(), NLM_F_CREATE | NLM_F_EXCL, &message) < 0) return fail(ENOMEM, doing);
  return socket_->exchange(Message(message), doing);
}

Result<std::vector<Prefix>> Netlink::addresses(int ifindex) {
  ifaddrmsg header{};
  header.ifa_index = static_cast<unsigned>(ifindex);
  return socket_->dump<Prefix>([&] { return dump_request(RTM_GETADDR, header); },
                               "list addresses of device " + std::to_string(ifindex),
                               [=](nl_object* object, auto& found) {
                                 auto* const address = reinterpret_cast<rtnl_addr*>(object);
                                 const bool wanted = ifindex == 0 || rtnl_addr_get_ifindex(address) == ifindex;
                                 if (auto local = prefix_of(rtnl_addr_get_local(address)); local && wanted) {
                                   local->length = static_cast<unsigned>(rtnl_addr_get_prefixlen(address));
                                   found.push_back(*local);
                                 }
                               });
}

namespace {

/// Every address of a family.
Prefix everywhere(bool v4) { return {Address::from_number(v4 ? static_cast<unsigned __int128>(0xffff) << 32 : 0), 0}; }

Prefix destination_of(const Route& route) {
  Prefix destination = route.destination.value_or(everywhere(route.family_v4));
  destination.address = destination.first();
  return destination;
}

/// nullptr: no memory.
Owned<rtnl_route> request_for(const Route& route) {
  const auto destination = destination_of(route);
  const bool v4 = destination.address.is_v4();
  Owned<rtnl_route> request(rtnl_route_alloc());
  rtnl_nexthop* const hop = rtnl_route_nh_alloc();
  if (!request || hop == nullptr) return nullptr;
  rtnl_route_nh_set_ifindex(hop, route.ifindex);
  if (route.gateway) rtnl_route_nh_set_gateway(hop, nl_address(*route.gateway).get());
  rtnl_route_add_nexthop(request.get(), hop);  // owned by the route from here on
  rtnl_route_set_family(request.get(), static_cast<std::uint8_t>(v4 ? AF_INET : AF_INET6));
  rtnl_route_set_dst(request.get(), nl_address(destination).get());
  if (route.onlink) rtnl_route_set_flags(request.get(), RTNH_F_ONLINK);
  if (route.source) rtnl_route_set_pref_src(request.get(), nl_address(*route.source).get());
  if (route.mtu != 0) rtnl_route_set_metric(request.get(), RTAX_MTU, static_cast<unsigned>(route.mtu));
  if (route.table != 0) rtnl_route_set_table(request.get(), static_cast<unsigned>(route.table));
  if (route.protocol != 0) rtnl_route_set_protocol(request.get(), static_cast<std::uint8_t>(route.protocol));
  if (route.priority != 0) rtnl_route_set_priority(request.get(), route.priority);
  return request;
}

}  // namespace

Result<void> Netlink::put_route(const Route& route) { return write_route(route, NLM_F_CREATE | NLM_F_REPLACE); }

Result<void> Netlink::add_route(const Route& route) { return write_route(route, NLM_F_CREATE | NLM_F_EXCL); }

Result<void> Netlink::write_route(const Route& route, int flags) {
  const auto doing = "put route to " + destination_of(route).text();
  const auto request = request_for(route);
  if (!request) return fail(ENOMEM, doing);
  nl_msg* message = nullptr;
  if (rtnl_route_build_add_request(request.get(), flags, &message) < 0) return fail(ENOMEM, doing);
  return socket_->exchange(Message(message), doing);
}

Result<void> Netlink::delete_route(const Route& route) {
  const auto doing = "delete route to " + destination_of(route).text();
  const auto request = request_for(route);
  if (!request) return fail(ENOMEM, doing);
  // Otherwise libnl asks for the scope of an added route, which need not be that of the one that is there.
  rtnl_route_set_scope(request.get(), RT_SCOPE_NOWHERE);
  nl_msg* message = nullptr;
  if (rtnl_route_build_del_request(request.get(), 0, &message) < 0) return fail(ENOMEM, doing);
  auto deleted = socket_->exchange(Message(message), doing);
  if (deleted.failed_with(ESRCH)) return {};
  return deleted;
}

namespace {

/// nullopt: not a unicast or local route. Of several ways it has the first.
std::optional<Route> route_of(nl_object* object) {
  auto* const source = reinterpret_cast<rtnl_route*>(object);
  const auto type = rtnl_route_get_type(source);
  if ((type != RTN_UNICAST && type != RTN_LOCAL) || rtnl_route_get_nnexthops(source) < 1) return std::nullopt;
  rtnl_nexthop* const hop = rtnl_route_nexthop_n(source, 0);
  Route route;
  route.family_v4 = rtnl_route_get_family(source) == AF_INET;
  route.destination = prefix_of(rtnl_route_get_dst(source));
  if (route.destination && route.destination->length == 0) route.destination.reset();
  route.ifindex = rtnl_route_nh_get_ifindex(hop);
  if (auto gateway = prefix_of(rtnl_route_nh_get_gateway(hop))) route.gateway = gateway->address;
  route.onlink = ((rtnl_route_get_flags(source) | rtnl_route_nh_get_flags(hop)) & RTNH_F_ONLINK) != 0;
  if (auto preferred = prefix_of(rtnl_route_get_pref_src(source))) route.source = preferred->address;
  unsigned mtu = 0;
  if (rtnl_route_get_metric(source, RTAX_MTU, &mtu) == 0) route.mtu = static_cast<int>(mtu);
  if (rtnl_route_get_table(source) != RT_TABLE_MAIN) route.table = static_cast<int>(rtnl_route_get_table(source));
  route.to_ourselves = type == RTN_LOCAL;
  route.protocol = rtnl_route_get_protocol(source);
  route.priority = rtnl_route_get_priority(source);
  return route;
}

}  // namespace

Result<std::vector<Route>> Netlink::routes(int ifindex, int table) {
  const auto doing = "list routes of device " + std::to_string(ifindex);
  std::vector<Route> all;
  for (const int family : {AF_INET, AF_INET6}) {
    rtmsg header{};
    header.rtm_family = static_cast<unsigned char>(family);
    header.rtm_table = table == 0 ? RT_TABLE_MAIN : RT_TABLE_UNSPEC;
    auto found = socket_->dump<Route>(
        [&] {
          auto message = dump_request(RTM_GETROUTE, header);
          if (message) nla_put_u32(message.get(), RTA_OIF, static_cast<unsigned>(ifindex));
          if (message && table != 0) nla_put_u32(message.get(), RTA_TABLE, static_cast<unsigned>(table));
          return message;
        },
        doing,
        [&](nl_object* object, auto& routes) {
          if (rtnl_route_get_nnexthops(reinterpret_cast<rtnl_route*>(object)) != 1) return;
          if (auto route = route_of(object); route && route->ifindex == ifindex) routes.push_back(*route);
        });
    // There is no table before its first route.
    if (!found && !found.failed_with(ENOENT)) return found;
    if (found) all.insert(all.end(), found->begin(), found->end());
  }
  return all;
}

Result<std::vector<Route>> Netlink::routes_of(int protocol) {
  std::vector<Route> all;
  for (const int family : {AF_INET, AF_INET6}) {
    rtmsg header{};
    header.rtm_family = static_cast<unsigned char>(family);
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = static_cast<unsigned char>(protocol);
    auto found = socket_->dump<Route>([&] { return dump_request(RTM_GETROUTE, header); },
                                      "list routes of protocol " + std::to_string(protocol),
                                      [&](nl_object* object, auto& routes) {
                                        if (auto route = route_of(object); route && route->protocol == protocol)
                                          routes.push_back(*route);
                                      });
    // The kernel was started without IPv6; there is no table before its first route.
    if (found.failed_with(EAFNOSUPPORT) || found.failed_with(ENOENT)) continue;
    if (!found) return found;
    all.insert(all.end(), found->begin(), found->end());
  }
  return all;
}

Result<Route> Netlink::route_to(const Address& address) {
  const auto doing = "look up the route to " + address.text();
  rtmsg header{};
  header.rtm_family = static_cast<unsigned char>(family_of(address));
  header.rtm_dst_len = static_cast<unsigned char>(8 * address.bytes_size());
  header.rtm_flags = RTM_F_FIB_MATCH;
  Message message(nlmsg_alloc_simple(RTM_GETROUTE, 0));
  if (!message || nlmsg_append(message.get(), &header, sizeof header, NLMSG_ALIGNTO) < 0 ||
      nla_put(message.get(), RTA_DST, static_cast<int>(address.bytes_size()), address.bytes()) < 0)
    return fail(ENOMEM, doing);
  std::optional<Route> found;
  TRY(socket_->exchange(std::move(message), doing, [&](nl_object* object) { found = route_of(object); }));
  if (!found) return fail(ENETUNREACH, doing);
  return *found;
}

Result<void> Netlink::put_neighbour(int ifindex, const Address& address, const Mac& mac) {
  const auto doing = "put neighbour " + address.text() + " on device " + std::to_string(ifindex);
  const Owned<rtnl_neigh> request(rtnl_neigh_alloc());
  if (!request) return fail(ENOMEM, doing);
  rtnl_neigh_set_ifindex(request.get(), ifindex);
  rtnl_neigh_set_dst(request.get(), nl_address(address).get());
  rtnl_neigh_set_lladdr(request.get(), nl_address(mac).get());
  rtnl_neigh_set_state(request.get(), NUD_PERMANENT);
  nl_msg* message = nullptr;
  if (rtnl_neigh_build_add_request(request.get(), NLM_F_CREATE | NLM_F_REPLACE, &message) < 0) {
    return fail(ENOMEM, doing);
  }
  return socket_->exchange(Message(message), doing);
}

Result<std::vector<Neighbour>> Netlink::neighbours(int ifindex) {
  return socket_->dump<Neighbour>(
      [&] {
        auto message = dump_request(RTM_GETNEIGH, ndmsg{});
        if (message) nla_put_u32(message.get(), NDA_IFINDEX, static_cast<unsigned>(ifindex));
        return message;
      },
      "list neighbours of device " + std::to_string(ifindex),
      [=](nl_object* object, auto& found) {
        auto* const entry = reinterpret_cast<rtnl_neigh*>(object);
        const auto address = prefix_of(rtnl_neigh_get_dst(entry));
        nl_addr* const mac = rtnl_neigh_get_lladdr(entry);
        if (!address || mac == nullptr || rtnl_neigh_get_ifindex(entry) != ifindex) return;
        found.push_back({address->address, mac_of(mac), (rtnl_neigh_get_state(entry) & NUD_PERMANENT) != 0});
      });
}

Result<NeighbourState> Netlink::neighbour(int ifindex, const Address& address) {
  const auto doing = "look up neighbour " + address.text() + " on device " + std::to_string(ifindex);
  ndmsg header{};
  header.ndm_family = static_cast<unsigned char>(family_of(address));
  header.ndm_ifindex = ifindex;
  Message message(nlmsg_alloc_simple(RTM_GETNEIGH, 0));
  if (!message || nlmsg_append(message.get(), &header, sizeof header, NLMSG_ALIGNTO) < 0 ||
      nla_put(message.get(), NDA_DST, static_cast<int>(address.bytes_size()), address.bytes()) < 0)
    return fail(ENOMEM, doing);
  NeighbourState state = NeighbourState::kUnknown;
  auto done = socket_->exchange(std::move(message), doing, [&](nl_object* object) {
    const int nud = rtnl_neigh_get_state(reinterpret_cast<rtnl_neigh*>(object));
    state = (nud & (NUD_REACHABLE | NUD_PERMANENT | NUD_NOARP)) != 0 ? NeighbourState::kAnswers
            : (nud & (NUD_STALE | NUD_DELAY | NUD_PROBE)) != 0       ? NeighbourState::kAnswered
            : (nud & (NUD_INCOMPLETE | NUD_FAILED)) != 0             ? NeighbourState::kSilent
                                                                     : NeighbourState::kUnknown;
  });
  if (!done && !done.failed_with(ENOENT)) return done.error();
  return state;
}

}  // namespace sluice::loader::net
