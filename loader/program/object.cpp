#include "loader/program/object.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "loader/net/netns.hpp"
#include "loader/program/pin.hpp"
#include "maps/runtime.h"
#include "maps/types.h"
#include "maps/views.hpp"

// The skeleton names the layouts as C does.
using sluice::maps::addr;
using sluice::maps::runtime;
#include "pod.skel.h"
#include "sock.skel.h"
#include "xdp.skel.h"

namespace sluice::loader::program {
namespace {

using PodHandle = std::unique_ptr<pod_bpf, void (*)(pod_bpf*)>;
using SockHandle = std::unique_ptr<sock_bpf, void (*)(sock_bpf*)>;
using XdpHandle = std::unique_ptr<xdp_bpf, void (*)(xdp_bpf*)>;

std::uint64_t ns(std::chrono::seconds seconds) { return std::chrono::nanoseconds(seconds).count(); }

// The configured address of a family that this node has.
std::optional<Address> node_address(const NodeConfig& config, bool v4) {
  const auto& own = config.node_addresses;
  const auto found = std::ranges::find_if(own, [&](const Address& address) { return address.is_v4() == v4; });
  return found != own.end() ? std::optional(*found) : std::nullopt;
}

maps::addr icmp_source(const NodeConfig& config, bool v4) {
  const auto own = node_address(config, v4);
  return own ? own->wire() : Address::parse(v4 ? kGatewayV4 : kGatewayV6).value_or({}).wire();
}

maps::addr mask_of(const Prefix& block) {
  const unsigned host_bits = (block.address.is_v4() ? 32 : 128) - block.length;
  const auto all = ~static_cast<unsigned __int128>(0);
  return Address::from_number(host_bits == 128 ? 0 : all << host_bits).wire();
}

template <typename Constants>
void set_masquerade(const NodeConfig& config, Constants& data) {
  data.cfg_masquerade = config.masquerades();
  data.cfg_unmasqueraded_count = 0;
  for (const auto* blocks : {&config.pod_cidrs, &config.non_masquerade_cidrs}) {
    for (const Prefix& block : *blocks) {
      const std::uint32_t number = data.cfg_unmasqueraded_count++;
      data.cfg_unmasqueraded[number] = block.first().wire();
      data.cfg_unmasqueraded_mask[number] = mask_of(block);
    }
  }
}

// Of the objects that carry packets, whose constants are the same.
template <typename Constants>
void set_constants(const NodeConfig& config, Constants& data) {
  const Timeouts& timeouts = config.timeouts;
  data.cfg_timeout_ns[maps::TIMEOUT_TCP_OPENING] = ns(timeouts.tcp_opening);
  data.cfg_timeout_ns[maps::TIMEOUT_TCP_ESTABLISHED] = ns(timeouts.tcp_established);
  data.cfg_timeout_ns[maps::TIMEOUT_TCP_CLOSING] = ns(timeouts.tcp_closing);
  data.cfg_timeout_ns[maps::TIMEOUT_TCP_CLOSED] = ns(timeouts.tcp_closed);
  data.cfg_timeout_ns[maps::TIMEOUT_UDP_OPENING] = ns(timeouts.udp_opening);
  data.cfg_timeout_ns[maps::TIMEOUT_UDP_ESTABLISHED] = ns(timeouts.udp_established);
  data.cfg_timeout_ns[maps::TIMEOUT_ICMP] = ns(timeouts.icmp);
  data.cfg_timeout_ns[maps::TIMEOUT_OTHER] = ns(timeouts.other);
  data.cfg_icmp_source_v4 = icmp_source(config, true);
  data.cfg_icmp_source_v6 = icmp_source(config, false);
  data.cfg_node_v4 = node_address(config, true).value_or(Address()).wire();
  data.cfg_node_v6 = node_address(config, false).value_or(Address()).wire();
  data.cfg_gateway_v4 = Address::parse(kGatewayV4).value_or({}).wire();
  data.cfg_gateway_v6 = Address::parse(kGatewayV6).value_or({}).wire();
  data.cfg_overlay = config.tunnels();
  data.cfg_native = config.routes();
  data.cfg_vni = config.vni;
  data.cfg_tunnel_port = config.tunnel_port;
  data.cfg_direct = config.load_balancer_mode == LoadBalancerMode::kDsr;
  for (const Prefix& block : config.pod_cidrs)
    if (!block.address.is_v4()) data.cfg_pods_v6 = block.first().wire();
  set_masquerade(config, data);
  std::memcpy(data.cfg_tunnel_mac, kTunnelSourceMac.bytes.data(), kTunnelSourceMac.bytes.size());
  std::memcpy(data.cfg_host_mac, kHostMac.bytes.data(), kHostMac.bytes.size());
}

// All but the namespace, which is no part of what programs are: a node keeps its own.
void set_constants(const NodeConfig& config, sock_bpf::sock_bpf__rodata& data) {
  data.cfg_node_v4 = node_address(config, true).value_or(Address()).wire();
  data.cfg_node_v6 = node_address(config, false).value_or(Address()).wire();
}

// What is pinned, and under which name. Objects that have a map of the same name share it.
struct PinnedMap {
  const char* map;               ///< in the object
  const char* name;              ///< of the pin
  std::uint32_t wanted_entries;  ///< 0: as the program says
};

template <typename View>
PinnedMap pinned(std::uint32_t wanted_entries = 0) {
  return {View::kName, View::kName, wanted_entries};
}

std::vector<PinnedMap> pinned_maps(const MapSizes& sizes) {
  return {pinned<maps::Flows>(sizes.flows),
          pinned<maps::Endpoints>(sizes.endpoints),
          pinned<maps::Fragments>(sizes.fragments),
          pinned<maps::Ipcache>(sizes.ipcache),
          pinned<maps::Nodes>(sizes.nodes),
          pinned<maps::Uplinks>(),
          pinned<maps::Denied>(sizes.denied),
          pinned<maps::Policies>(sizes.policies),
          pinned<maps::PolicyPorts>(sizes.policy_ports),
          pinned<maps::Peers>(sizes.peers),
          pinned<maps::Services>(sizes.services),
          pinned<maps::BackendSlots>(sizes.backend_slots),
          pinned<maps::Backends>(sizes.backends),
          pinned<maps::SourceRanges>(sizes.source_ranges),
          pinned<maps::Affinity>(sizes.affinity),
          pinned<maps::Sockets>(sizes.sockets),
          pinned<maps::Metrics>(),
          pinned<maps::Counters>(),
          pinned<maps::ObserverFilters>(),
          pinned<maps::Observers>(),
          {".data.runtime", maps::Runtime::kName, 0}};
}

// The size of the map that is pinned already; 0: none is.
std::uint32_t pinned_entries(const std::filesystem::path& pin) {
  auto map = open_pin(pin);
  bpf_map_info info{};
  std::uint32_t size = sizeof(info);
  if (!map || bpf_obj_get_info_by_fd(map->get(), &info, &size) != 0) return 0;
  return info.max_entries;
}

Result<void> set_pins(const Root& root, const MapSizes& sizes, const bpf_object* object,
                      std::vector<std::string>& warnings) {
  for (const PinnedMap& entry : pinned_maps(sizes)) {
    bpf_map* const map = bpf_object__find_map_by_name(object, entry.map);
    if (map == nullptr) continue;
    const std::string pin = root.maps() / entry.name;
    if (const int err = bpf_map__set_pin_path(map, pin.c_str()); err != 0) return fail(-err, "choose pin " + pin);
    if (entry.wanted_entries == 0) continue;
    std::uint32_t entries = entry.wanted_entries;
    if (const std::uint32_t there = pinned_entries(pin); there != 0 && there != entries) {
      const std::string words = std::string("map ") + entry.name + " keeps its " + std::to_string(there) +
                                " entries instead of " + std::to_string(entries) +
                                ": a new size needs `sluiced remove` first";
      if (std::ranges::find(warnings, words) == warnings.end()) warnings.push_back(words);  // objects share maps
      entries = there;
    }
    if (const int err = bpf_map__set_max_entries(map, entries); err != 0)
      return fail(-err, std::string("set the size of map ") + entry.name);
  }
  return {};
}

// FNV-1a.
void hash_bytes(std::uint64_t& hash, const void* data, std::size_t size) {
  for (std::size_t i = 0; i < size; i++) hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3;
}

template <typename Skeleton>
void hash_object(std::uint64_t& hash) {
  std::size_t size = 0;
  const void* elf = Skeleton::elf_bytes(&size);
  hash_bytes(hash, elf, size);
}

template <typename Constants>
void hash_constants(std::uint64_t& hash, const NodeConfig& config) {
  Constants constants;
  std::memset(&constants, 0, sizeof(constants));  // padding too
  set_constants(config, constants);
  hash_bytes(hash, &constants, sizeof(constants));
}

}  // namespace

struct Object::Skeleton {
  PodHandle pod{nullptr, pod_bpf::destroy};
  SockHandle sock{nullptr, sock_bpf::destroy};  ///< where the configuration asks for it
  XdpHandle xdp{nullptr, xdp_bpf::destroy};     ///< the same
  std::vector<std::string> warnings;

  Result<void> load_pod(const Root& root, const NodeConfig& config) {
    pod.reset(pod_bpf::open());
    if (!pod) return fail(errno, "open pod.bpf.o");
    set_constants(config, *pod->rodata);
    TRY(set_pins(root, config.maps, pod->obj, warnings));
    if (const int err = pod_bpf::load(pod.get()); err != 0) return fail(-err, "load pod.bpf.o: " + libbpf_words());
    return {};
  }

  Result<void> load_sock(const Root& root, const NodeConfig& config) {
    sock.reset(sock_bpf::open());
    if (!sock) return fail(errno, "open sock.bpf.o");
    set_constants(config, *sock->rodata);
    sock->rodata->cfg_netns_cookie = TRY(net::Netns::current_cookie());
    TRY(set_pins(root, config.maps, sock->obj, warnings));
    if (const int err = sock_bpf::load(sock.get()); err != 0) return fail(-err, "load sock.bpf.o: " + libbpf_words());
    return {};
  }

  Result<void> load_xdp(const Root& root, const NodeConfig& config) {
    xdp.reset(xdp_bpf::open());
    if (!xdp) return fail(errno, "open xdp.bpf.o");
    set_constants(config, *xdp->rodata);
    TRY(set_pins(root, config.maps, xdp->obj, warnings));
    if (const int err = xdp_bpf::load(xdp.get()); err != 0) return fail(-err, "load xdp.bpf.o: " + libbpf_words());
    return {};
  }
};

Object::Object(std::unique_ptr<Skeleton> skeleton) : skeleton_(std::move(skeleton)) {}
Object::Object(Object&&) noexcept = default;
Object& Object::operator=(Object&&) noexcept = default;
Object::~Object() = default;

Result<Object> Object::load(const Root& root, const NodeConfig& config) {
  quiet_libbpf();
  auto skeleton = std::make_unique<Skeleton>();
  TRY(skeleton->load_pod(root, config));
  if (config.socket_balancing) TRY(skeleton->load_sock(root, config));
  if (config.xdp != Xdp::kOff) TRY(skeleton->load_xdp(root, config));
  return Object(std::move(skeleton));
}

Result<Fd> Object::program(const std::string& name) const {
  const bpf_program* found = bpf_object__find_program_by_name(skeleton_->pod->obj, name.c_str());
  if (found == nullptr && skeleton_->sock) found = bpf_object__find_program_by_name(skeleton_->sock->obj, name.c_str());
  if (found == nullptr && skeleton_->xdp) found = bpf_object__find_program_by_name(skeleton_->xdp->obj, name.c_str());
  if (found == nullptr) return refuse(ENOENT, "there is no program " + name);
  Fd copy(fcntl(bpf_program__fd(found), F_DUPFD_CLOEXEC, 0));
  if (copy.get() < 0) return fail(errno, "keep program " + name);
  return copy;
}

const std::vector<std::string>& Object::warnings() const { return skeleton_->warnings; }

std::string object_identity(const NodeConfig& config) {
  std::uint64_t hash = 0xcbf29ce484222325;
  hash_object<pod_bpf>(hash);
  hash_constants<pod_bpf::pod_bpf__rodata>(hash, config);
  if (config.socket_balancing) {
    hash_object<sock_bpf>(hash);
    hash_constants<sock_bpf::sock_bpf__rodata>(hash, config);
  }
  if (config.xdp != Xdp::kOff) {
    hash_object<xdp_bpf>(hash);
    hash_constants<xdp_bpf::xdp_bpf__rodata>(hash, config);
  }
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

}  // namespace sluice::loader::program
