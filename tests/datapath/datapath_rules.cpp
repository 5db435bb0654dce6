// The services and policies of a test's node: what the agent would write into the maps.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "loader/net/netlink.hpp"
#include "maps/endpoint.h"
#include "maps/ipcache.h"
#include "maps/node.h"
#include "maps/runtime.h"
#include "maps/trie_key.hpp"
#include "maps/types.h"
#include "maps/uplink.h"
#include "tests/datapath/datapath.hpp"
#include "tests/datapath/put.hpp"

// The skeleton names the layouts as C does.
using sluice::maps::addr;
using sluice::maps::backend;
using sluice::maps::runtime;
#include "pod.skel.h"

namespace sluice::test {
namespace {

Address parse(const std::string& text) {
  auto address = Address::parse(text);
  if (!address) throw std::runtime_error(address.error().message);
  return *address;
}

}  // namespace

Datapath& Datapath::service(const SocketAddress& frontend, std::uint8_t proto,
                            const std::vector<SocketAddress>& backends, const ServiceOptions& options) {
  services_->service(frontend, proto, backends, options);
  skeleton_->data_runtime->runtime.has_services = 1;
  return new_epoch();
}

Datapath& Datapath::service_address(const char* address) {
  services_->address(parse(address));
  skeleton_->data_runtime->runtime.has_services = 1;
  return new_epoch();
}

Datapath& Datapath::backends_become(maps::backend_state state) {
  services_->backends_become(state);
  return new_epoch();
}

Datapath& Datapath::policy(std::uint32_t id, std::uint32_t flags, const std::vector<PolicyEntry>& entries) {
  maps::policy policy{0, POLICY_IN_FORCE | flags};
  for (const PolicyEntry& entry : entries) {
    policy.port_lengths |= 1U << entry.length;
    maps::policy_port value{};
    value.everyone = entry.everyone;
    if (!entry.peers.empty()) value.set = ++sets_;
    for (const auto& [peer, verdict] : entry.peers)
      put(skeleton_->maps.peers, maps::peer_key{value.set, peer}, verdict);
    put(skeleton_->maps.policy_ports,
        maps::policy_port_key{id, maps::be16::from_host(entry.port), entry.proto, static_cast<__u8>(entry.length)},
        value);
  }
  put(skeleton_->maps.policies, id, policy);
  return new_epoch();
}

Datapath& Datapath::pod_policy(const std::string& pod, std::uint32_t identity, std::uint32_t egress,
                               std::uint32_t ingress, std::uint32_t blocks) {
  for (const Address& address : addresses(pod)) {
    maps::endpoint endpoint{};
    if (bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.endpoints), &address.wire(), &endpoint) != 0)
      throw std::runtime_error("no endpoint " + address.text());
    for (maps::pod_policy& policy : endpoint.policy) policy = {{identity, blocks}, egress, ingress};
    put(skeleton_->maps.endpoints, address.wire(), endpoint);
  }
  return new_epoch();
}

Datapath& Datapath::known_address(const char* prefix, std::uint32_t identity, std::uint32_t blocks,
                                  std::uint32_t node) {
  auto parsed = Prefix::parse(prefix);
  if (!parsed) throw std::runtime_error(parsed.error().message);
  const bool v4 = parsed->address.is_v4();
  maps::ipcache_key key{static_cast<__u32>(parsed->length + (v4 ? 96 : 0)), {}};
  std::memcpy(key.word, &parsed->address.wire(), sizeof(key.word));
  put(skeleton_->maps.ipcache, key, maps::ipcache_entry{{{identity, blocks}, {identity, blocks}}, node, 0});
  return new_epoch();
}

Datapath& Datapath::deny(const char* block) {
  auto parsed = Prefix::parse(block);
  if (!parsed) throw std::runtime_error(parsed.error().message);
  put(skeleton_->maps.denied, maps::denied_key_of(*parsed), std::uint32_t{maps::DENIED_YES});
  skeleton_->data_runtime->runtime.has_denied = 1;
  return *this;
}

Datapath& Datapath::allow_all() {
  skeleton_->data_runtime->runtime.has_denied = 0;
  return *this;
}

Datapath& Datapath::node(std::uint32_t number, const char* address, std::uint32_t flags) {
  maps::node node{};
  node.address = parse(address).wire();
  node.flags = flags;
  put(skeleton_->maps.nodes, number, node);
  return new_epoch();
}

void Datapath::pin_maps(const std::filesystem::path& folder) const {
  const auto& maps = skeleton_->maps;
  for (bpf_map* map : {maps.policies, maps.policy_ports, maps.peers, maps.ipcache, maps.endpoints, maps.data_runtime}) {
    const char* name = map == maps.data_runtime ? "runtime" : bpf_map__name(map);
    if (bpf_map__pin(map, (folder / name).c_str()) != 0)
      throw std::runtime_error(std::string("pin ") + name + ": " + std::strerror(errno));
  }
}

Datapath& Datapath::tunnel_device(const std::string& pod) {
  put(skeleton_->maps.nodes, std::uint32_t{NODE_HERE}, maps::node{{}, {ifindex(pod)}, 1500});
  skeleton_->data_runtime->runtime.tunnel_ifindex = ifindex(pod);
  return new_epoch();
}

Datapath& Datapath::uplink(const std::string& pod, const UplinkOptions& options) {
  auto netlink = loader::net::Netlink::open();
  const auto link = netlink ? netlink->link(static_cast<int>(ifindex(pod))) : netlink.error();
  const auto other_end = link ? netlink->link(link->name + "p") : link.error();
  if (!other_end) throw std::runtime_error(other_end.error().message);
  for (const int end : {link->ifindex, other_end->ifindex})
    if (auto up = netlink->set_up(end); !up) throw std::runtime_error(up.error().message);
  for (const char* gateway : {"203.0.113.1", "2001:db8:113::1"}) {
    const Address address = parse(gateway);
    const loader::net::Route route{
        .family_v4 = address.is_v4(), .gateway = address, .onlink = true, .ifindex = link->ifindex};
    if (auto put = netlink->put_route(route); !put) throw std::runtime_error(put.error().message);
    routes_.push_back(route);
    if (auto put = netlink->put_neighbour(link->ifindex, address, kRouterMac); !put)
      throw std::runtime_error(put.error().message);
  }
  const auto source = [](const std::string& text) { return text.empty() ? maps::addr{} : parse(text).wire(); };
  put(skeleton_->maps.uplinks, ifindex(pod),
      maps::uplink{source(options.v4), source(options.v6), options.mtu, options.kept_first, options.kept_last});
  return new_epoch();
}

}  // namespace sluice::test
