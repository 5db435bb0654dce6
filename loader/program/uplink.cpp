#include "loader/program/uplink.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "loader/program/hook.hpp"
#include "loader/program/lock.hpp"
#include "loader/program/pin.hpp"
#include "maps/node.h"
#include "maps/views.hpp"

namespace sluice::loader::program {
namespace {

constexpr int kUsualMtu = 1500;

/// The links of the default routes, IPv4's first. They are the way to an address that nobody has: of a block for
/// documents (RFC 5737) or for discards (RFC 6666). Asking the kernel for that one costs the same however many routes
/// to pods there are.
std::vector<net::Link> default_links(net::Netlink& netlink) {
  std::vector<net::Link> found;
  for (const char* nobody : {"192.0.2.1", "100::1"}) {
    const auto route = netlink.route_to(Address::parse(nobody).value_or({}));
    if (!route || route->destination) continue;
    if (std::ranges::find(found, route->ifindex, &net::Link::ifindex) != found.end()) continue;
    if (auto link = netlink.link(route->ifindex)) found.push_back(std::move(*link));
  }
  return found;
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

bool is_link_local(const Address& address) {
  const unsigned char* bytes = address.bytes();
  return address.is_v4() ? bytes[0] == 169 && bytes[1] == 254 : bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

std::optional<Address> source_on(const std::vector<Prefix>& there, const NodeConfig& config, bool v4) {
  std::optional<Address> first, configured;
  for (const Address& own : config.node_addresses)
    if (own.is_v4() == v4 && !configured) configured = own;
  for (const Prefix& one : there) {
    if (one.address.is_v4() != v4 || is_link_local(one.address)) continue;
    if (std::ranges::find(config.node_addresses, one.address) != config.node_addresses.end()) return one.address;
    if (!first) first = one.address;
  }
  return first ? first : configured;
}

Result<std::vector<net::Link>> wanted_links(net::Netlink& netlink, const NodeConfig& config,
                                            std::vector<std::string>& warnings) {
  if (!config.uplinks) {
    auto links = default_links(netlink);
    if (!links.empty()) return links;
    if (auto link = link_with(netlink, config.node_addresses)) links.push_back(std::move(*link));
    return links;
  }
  std::vector<net::Link> links;
  for (const std::string& name : *config.uplinks) {
    auto link = netlink.link(name);
    if (link.failed_with(ENODEV))
      warnings.push_back("uplink " + name + " is not there: outside clients do not come in by it");
    else
      links.push_back(TRY(std::move(link)));
  }
  return links;
}

/// The two numbers of a file such as ip_local_port_range; Linux' defaults where it cannot be read.
std::pair<std::uint16_t, std::uint16_t> local_ports() {
  std::uint16_t first = 0, last = 0;
  std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> first >> last;
  return last != 0 ? std::pair(first, last) : std::pair<std::uint16_t, std::uint16_t>(32768, 60999);
}

maps::uplink to_layout(const Uplink& uplink) {
  const auto [first, last] = local_ports();
  const KeptPorts kept = kept_ports(first, last);
  return {.v4 = uplink.v4.value_or(Address()).wire(),
          .v6 = uplink.v6.value_or(Address()).wire(),
          .mtu = static_cast<std::uint32_t>(uplink.mtu),
          .ports_first = kept.first,
          .ports_last = kept.last};
}

bool among(const std::vector<Uplink>& uplinks, int ifindex) {
  return std::ranges::find(uplinks, ifindex, &Uplink::ifindex) != uplinks.end();
}

}  // namespace

int uplink_mtu(net::Netlink& netlink, const NodeConfig& config) {
  if (const auto links = default_links(netlink); !links.empty()) return links.front().mtu;
  const auto link = link_with(netlink, config.node_addresses);
  return link ? link->mtu : kUsualMtu;
}

int pod_mtu(net::Netlink& netlink, const NodeConfig& config) {
  if (config.mtu != 0) return config.mtu;
  const int mtu = uplink_mtu(netlink, config);
  return config.tunnels() ? mtu - tunnel_overhead(config) : mtu;
}

int tunnel_overhead(const NodeConfig& config) {
  const bool v6 = !config.node_addresses.empty() && !config.node_addresses.front().is_v4();
  return v6 ? TUNNEL_OVERHEAD_V6 : TUNNEL_OVERHEAD_V4;
}

Result<Uplinks> find_uplinks(const NodeConfig& config) {
  net::Netlink netlink = TRY(net::Netlink::open());
  Uplinks found;
  for (const net::Link& link : TRY(wanted_links(netlink, config, found.warnings))) {
    if (link.mac == Mac{}) {
      found.warnings.push_back("uplink " + link.name +
                               " has no Ethernet addresses: outside clients do not come in by it");
      continue;
    }
    const auto there = TRY(netlink.addresses(link.ifindex));
    found.all.push_back({.ifindex = link.ifindex,
                         .name = link.name,
                         .kind = link.kind,
                         .mtu = link.mtu,
                         .v4 = source_on(there, config, true),
                         .v6 = source_on(there, config, false)});
  }
  return found;
}

Result<void> publish_uplinks(const Root& root, const std::vector<Uplink>& uplinks) {
  auto map = TRY(maps::open<maps::Uplinks>(root.maps()));
  bool changed = false;
  for (const auto& [ifindex, entry] : TRY(map.dump())) {
    if (among(uplinks, static_cast<int>(ifindex))) continue;
    TRY(map.erase(ifindex).context("forget an uplink"));
    changed = true;
  }
  for (const Uplink& uplink : uplinks) {
    const maps::uplink wanted = to_layout(uplink);
    const auto ifindex = static_cast<std::uint32_t>(uplink.ifindex);
    const auto known = TRY(map.lookup(ifindex));
    if (known && std::memcmp(&*known, &wanted, sizeof(wanted)) == 0) continue;
    TRY(map.put(ifindex, wanted).context("make uplink " + uplink.name + " known"));
    changed = true;
  }
  if (!changed) return {};
  const auto runtime = TRY(maps::Mapped<maps::runtime>::open(TRY(maps::open<maps::Runtime>(root.maps())).fd()));
  maps::advance_epoch(*runtime);
  return {};
}

Result<void> attach_uplink(const Uplink& uplink, const Fd& program) {
  return clsact::attach(uplink.ifindex, Hook::kUplink, program)
      .context(std::string("attach ") + kFromUplink + " to " + uplink.name);
}

Result<std::size_t> detach_uplinks(const std::vector<Uplink>& but) {
  net::Netlink netlink = TRY(net::Netlink::open());
  std::size_t detached = 0;
  for (const net::Link& link : TRY(netlink.links())) {
    if (among(but, link.ifindex) || !TRY(clsact::attached(link.ifindex, Hook::kUplink))) continue;
    TRY(clsact::detach(link.ifindex, Hook::kUplink));
    detached++;
  }
  return detached;
}

Result<std::vector<std::string>> repair_uplinks(const Root& root, const NodeConfig& config) {
  const Lock lock = TRY(Lock::shared(root));
  const Fd program = TRY(open_pin(program_pin(root, kFromUplink)));
  const Uplinks uplinks = TRY(find_uplinks(config));
  std::vector<std::string> changes;
  TRY(publish_uplinks(root, uplinks.all));
  for (const Uplink& uplink : uplinks.all) {
    if (TRY(clsact::attached(uplink.ifindex, Hook::kUplink))) continue;
    TRY(attach_uplink(uplink, program));
    changes.push_back("uplink " + uplink.name + " was without its program: attached");
  }
  if (TRY(detach_uplinks(uplinks.all)) > 0)
    changes.emplace_back("an interface is no uplink any more: program taken off");
  return changes;
}

KeptPorts kept_ports(std::uint16_t local_first, std::uint16_t local_last) {
  constexpr int kFirst = 1024, kNodePortFirst = 30000, kNodePortLast = 32767, kFewest = 4096;
  const int first = std::max(kFirst, std::min<int>(local_first, kNodePortFirst));
  const int last = std::max<int>(local_last, kNodePortLast);
  const int left = 65536 - kFirst - (last - first + 1);
  if (left < kFewest) return {kNodePortFirst, kNodePortLast};
  return {static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)};
}

}  // namespace sluice::loader::program
