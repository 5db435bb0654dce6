#include "loader/program/overlay.hpp"

#include <cerrno>
#include <cstring>

#include "loader/net/netlink.hpp"
#include "loader/program/hook.hpp"
#include "loader/program/lock.hpp"
#include "loader/program/pin.hpp"
#include "loader/program/uplink.hpp"
#include "maps/views.hpp"

namespace sluice::loader::program {
namespace {

net::VxlanSpec wanted_device(const NodeConfig& config, int uplink_mtu) {
  return {
      .name = kOverlayDevice, .mac = kHostMac, .mtu = uplink_mtu - tunnel_overhead(config), .port = config.tunnel_port};
}

/// Deletes what has the device's name and is no such device. True: it is there as it should be, but for its MTU.
Result<bool> keep_or_delete(net::Netlink& netlink, const net::VxlanSpec& wanted, OverlayDevice& device) {
  const auto link = netlink.link(wanted.name);
  if (link.failed_with(ENODEV)) return false;
  if (!link) return link.error();
  auto is = TRY(netlink.vxlan(wanted.name));
  if (is) is->mtu = wanted.mtu;
  if (is == wanted) return true;
  device.change = std::string("interface ") + wanted.name + " was not as configured: made anew";
  TRY(netlink.delete_link(wanted.name));
  return false;
}

}  // namespace

Result<std::optional<OverlayDevice>> prepare_overlay(const NodeConfig& config) {
  if (!config.tunnels()) return std::optional<OverlayDevice>();
  net::Netlink netlink = TRY(net::Netlink::open());
  OverlayDevice device{.ifindex = 0, .uplink_mtu = uplink_mtu(netlink, config), .change = {}, .made = false};
  const net::VxlanSpec wanted = wanted_device(config, device.uplink_mtu);
  if (!TRY(keep_or_delete(netlink, wanted, device))) {
    TRY(netlink.create_vxlan(wanted));
    if (!device.change) device.change = std::string("interface ") + wanted.name + " was not there: made";
    device.made = true;
  }
  const net::Link link = TRY(netlink.link(wanted.name));
  device.ifindex = link.ifindex;
  if (link.mtu != wanted.mtu) {
    TRY(netlink.set_mtu(link.ifindex, wanted.mtu));
    device.change = std::string("interface ") + wanted.name + " had MTU " + std::to_string(link.mtu) + ": now " +
                    std::to_string(wanted.mtu);
  }
  if (!link.up) {
    TRY(netlink.set_up(link.ifindex));
    device.change = std::string("interface ") + wanted.name + " was down: set up";
  }
  if (!link.no_arp) {
    TRY(netlink.set_no_arp(link.ifindex));
    device.change = std::string("interface ") + wanted.name + " would ask for neighbours: does not any more";
  }
  return std::optional(device);
}

Result<void> attach_overlay(const OverlayDevice& device, const OverlayPrograms& programs) {
  TRY(clsact::attach(device.ifindex, Hook::kIngress, *programs.ingress)
          .context(std::string("attach ") + kFromOverlay + " to " + kOverlayDevice));
  if (programs.egress == nullptr) return clsact::detach(device.ifindex, Hook::kEgress);
  return clsact::attach(device.ifindex, Hook::kEgress, *programs.egress)
      .context(std::string("attach ") + kToOverlay + " to " + kOverlayDevice);
}

Result<void> publish_overlay(const Root& root, const NodeConfig& config, const std::optional<OverlayDevice>& device) {
  maps::node here{};
  if (device) {
    if (!config.node_addresses.empty()) here.address = config.node_addresses.front().wire();
    here.ifindex = static_cast<std::uint32_t>(device->ifindex);
    here.mtu = static_cast<std::uint32_t>(device->uplink_mtu);
  }
  auto nodes = TRY(maps::open<maps::Nodes>(root.maps()));
  const auto known = TRY(nodes.lookup(NODE_HERE));
  const auto runtime = TRY(maps::Mapped<maps::runtime>::open(TRY(maps::open<maps::Runtime>(root.maps())).fd()));
  __atomic_store_n(&runtime->tunnel_ifindex, here.ifindex, __ATOMIC_SEQ_CST);
  if (known && std::memcmp(&*known, &here, sizeof(here)) == 0) return {};
  TRY(nodes.put(NODE_HERE, here).context("make the tunnel device known"));
  maps::advance_epoch(*runtime);
  return {};
}

Result<bool> remove_overlay() {
  net::Netlink netlink = TRY(net::Netlink::open());
  const auto link = netlink.link(kOverlayDevice);
  if (link.failed_with(ENODEV)) return false;
  if (!link) return link.error();
  TRY(netlink.delete_link(kOverlayDevice));
  return true;
}

Result<std::vector<std::string>> repair_overlay(const Root& root, const NodeConfig& config) {
  const Lock lock = TRY(Lock::shared(root));
  const Fd ingress = TRY(open_pin(program_pin(root, kFromOverlay)));
  const Fd egress = TRY(open_pin(program_pin(root, kToOverlay)));
  std::vector<std::string> changes;
  const auto device = TRY(prepare_overlay(config));
  if (device && device->change) changes.push_back(*device->change);
  if (device && (!TRY(clsact::attached(device->ifindex, Hook::kIngress)) ||
                 !TRY(clsact::attached(device->ifindex, Hook::kEgress)))) {
    TRY(attach_overlay(*device, {&ingress, &egress}));
    if (!device->made)
      changes.push_back(std::string("interface ") + kOverlayDevice + " had lost its program: attached again");
  }
  TRY(publish_overlay(root, config, device));
  return changes;
}

}  // namespace sluice::loader::program
