#include "tests/lab/node.hpp"

#include <sys/mount.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <sstream>

#include "loader/net/netlink.hpp"
#include "loader/net/netns.hpp"
#include "loader/undo.hpp"
#include "tests/lab/cgroup.hpp"

namespace sluice::lab {

namespace {

using loader::net::Netlink;
using loader::net::Netns;

constexpr const char* kBridge = "underlay";
constexpr int kUnderlayMtu = 1500;

/// FNV-1a, 64 bits: the same number for a name in every run.
std::uint64_t hash_of(const std::string& text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

/// The underlay's end of a node's uplink: its name has to do with 15 characters, a node's may have 253.
std::string port_name(const std::string& node) {
  std::ostringstream name;
  name << "port" << std::hex << (hash_of(node) & 0xffffffffff);
  return name.str();
}

/// A locally administered address; `end` tells the two ends of an uplink apart.
Mac mac_of(const std::string& node, std::uint8_t end) {
  const auto hash = hash_of(node);
  Mac mac{{0x02, end}};
  for (std::size_t i = 2; i < mac.bytes.size(); ++i) mac.bytes[i] = static_cast<std::uint8_t>(hash >> (8 * i));
  return mac;
}

Result<void> make_folders(const loader::Root& root) {
  for (const auto& folder : {root.bpffs(), root.objects(), root.state(), root.run()}) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) return fail(error.value(), "make " + folder.string());
  }
  return {};
}

Result<void> fill_root(const Paths& paths, const NodeRecord& node) {
  const auto root = paths.node_root(node.name);
  TRY(make_folders(root));
  if (::mount("sluice-lab", root.bpffs().c_str(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0) {
    return fail(errno, "mount bpffs at " + root.bpffs().string());
  }
  // JSON is YAML. The maps are smaller than a real node's: many labs stand on one machine.
  nlohmann::json config{{"nodeName", node.name},
                        {"nodeAddresses", nlohmann::json::array()},
                        {"podCIDRs", nlohmann::json::array()},
                        {"maps", {{"flows", 65536}}}};
  for (const auto& address : node.addresses) config["nodeAddresses"].push_back(address.text());
  for (const auto& cidr : node.pod_cidrs) config["podCIDRs"].push_back(cidr.text());
  if (!node.config.empty()) config.update(nlohmann::json::parse(node.config));
  TRY(write_file(root.config_file(), config.dump(2) + "\n"));

  std::error_code error;
  std::filesystem::copy(paths.objects(), root.objects(), std::filesystem::copy_options::recursive, error);
  if (error && error != std::errc::no_such_file_or_directory) return fail(error.value(), "copy objects of the lab");
  return {};
}

Result<void> join_cgroup(const Paths& paths, const NodeRecord& node) {
  const auto group = TRY(cgroup::create(paths.node_cgroup(node.name)));
  const auto link = paths.node_root(node.name).prefix() / "sys/fs/cgroup";
  if (::symlink(group.c_str(), link.c_str()) != 0) return fail(errno, "link " + link.string());
  return {};
}

/// The route to one address of another node. All nodes of a lab are on one link, whatever their addresses.
loader::net::Route route_to(const Address& address, int ifindex) {
  return {.destination = Prefix::host(address), .ifindex = ifindex};
}

Result<void> connect_uplink(const Paths& paths, const NodeRecord& node, const Netns& netns) {
  auto underlay = TRY(Netlink::open_in(TRY(Netns::open(paths.underlay_netns()))));
  auto inside = TRY(Netlink::open_in(netns));
  const loader::net::VethSpec spec{.host_name = port_name(node.name),
                                   .host_alias = node.name,
                                   .host_mac = mac_of(node.name, 1),
                                   .pod_name = kUplink,
                                   .pod_mac = mac_of(node.name, 2),
                                   .mtu = kUnderlayMtu};
  TRY(underlay.create_veth(spec, netns));
  const auto port = TRY(underlay.link(spec.host_name));
  TRY(underlay.set_master(port.ifindex, TRY(underlay.link(kBridge)).ifindex));
  TRY(underlay.set_up(port.ifindex));
  const auto uplink = TRY(inside.link(kUplink));
  TRY(inside.set_up(uplink.ifindex));
  for (const auto& address : node.addresses) TRY(inside.add_address(uplink.ifindex, Prefix::host(address)));
  const int bridge = TRY(underlay.link(kBridge)).ifindex;
  for (const auto& address : node.addresses) {
    TRY(underlay.put_route(route_to(address, bridge)));
    TRY(inside.put_route({.family_v4 = address.is_v4(),
                          .gateway = TRY(Address::parse(address.is_v4() ? kWorldV4 : kWorldV6)),
                          .onlink = true,
                          .ifindex = uplink.ifindex}));
  }
  return {};
}

/// Routes between this node and each other that is ready, in both directions. A route needs an address of its family
/// on neither side; one that nobody uses does no harm.
Result<void> meet_peers(const Paths& paths, const NodeRecord& node) {
  auto inside = TRY(Netlink::open_in(TRY(Netns::open(paths.node_netns(node.name)))));
  const int uplink = TRY(inside.link(kUplink)).ifindex;
  for (const auto& peer : TRY(load_nodes(paths))) {
    if (!peer.ready || peer.name == node.name) continue;
    auto there = TRY(Netlink::open_in(TRY(Netns::open(paths.node_netns(peer.name)))));
    const int their_uplink = TRY(there.link(kUplink)).ifindex;
    for (const auto& address : peer.addresses) TRY(inside.put_route(route_to(address, uplink)));
    for (const auto& address : node.addresses) TRY(there.put_route(route_to(address, their_uplink)));
  }
  return {};
}

Result<void> leave_peers(const Paths& paths, const NodeRecord& node) {
  for (const auto& peer : TRY(load_nodes(paths))) {
    if (!peer.ready || peer.name == node.name) continue;
    auto there = TRY(Netlink::open_in(TRY(Netns::open(paths.node_netns(peer.name)))));
    const int uplink = TRY(there.link(kUplink)).ifindex;
    for (const auto& address : node.addresses) TRY(there.delete_route(route_to(address, uplink)));
  }
  return {};
}

/// A mount point as /proc/self/mountinfo has it: blanks and the like as \ and three octal digits (proc(5)).
std::string unescaped(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      result += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

}  // namespace

Result<void> create_underlay(const Paths& paths) {
  std::error_code error;
  std::filesystem::create_directories(kNetnsFolder, error);
  if (error) return fail(error.value(), std::string("make ") + kNetnsFolder);
  if (std::filesystem::exists(paths.underlay_netns(), error)) return {};
  const auto netns = TRY(Netns::create(paths.underlay_netns()));
  loader::Undo undo([&] { (void)Netns::destroy(paths.underlay_netns()); });
  auto netlink = TRY(Netlink::open_in(netns));
  TRY(netlink.create_bridge(kBridge, kUnderlayMtu));
  const int bridge = TRY(netlink.link(kBridge)).ifindex;
  for (const char* address : {kWorldV4, kWorldV6})
    TRY(netlink.add_address(bridge, Prefix::host(TRY(Address::parse(address)))));
  TRY(netns.run([]() -> Result<void> {
    TRY(loader::net::set_sysctl("ipv4/ip_forward", "1"));
    return loader::net::set_sysctl("ipv6/conf/all/forwarding", "1");
  }));
  undo.release();
  return {};
}

Result<void> create_node(const Paths& paths, const NodeRecord& node) {
  const auto make = [&]() -> Result<void> {
    TRY(save(paths, node));
    TRY(fill_root(paths, node));
    TRY(join_cgroup(paths, node));
    const auto netns = TRY(Netns::create(paths.node_netns(node.name)));
    TRY(connect_uplink(paths, node, netns));
    TRY(meet_peers(paths, node));
    NodeRecord ready = node;
    ready.ready = true;
    return save(paths, ready);
  };
  auto made = make();
  if (!made) (void)destroy_node(paths, node.name);
  return std::move(made).context("make Node " + node.name);
}

Result<void> destroy_node(const Paths& paths, const std::string& name) {
  const auto doing = "remove Node " + name;
  TRY(cgroup::destroy(paths.node_cgroup(name)).context(doing));
  if (const auto node = TRY(load_node(paths, name))) TRY(leave_peers(paths, *node).context(doing));
  // Also where somebody else still holds the node's namespace.
  if (auto underlay = Netns::open(paths.underlay_netns())) {
    auto netlink = TRY(Netlink::open_in(*underlay));
    TRY(netlink.delete_link(port_name(name)).context(doing));
    const auto bridge = netlink.link(kBridge);
    const auto node = TRY(load_node(paths, name));
    if (bridge && node)
      for (const auto& address : node->addresses)
        TRY(netlink.delete_route(route_to(address, bridge->ifindex)).context(doing));
  }
  TRY(Netns::destroy(paths.node_netns(name)).context(doing));
  TRY(unmount_below(paths.node(name)).context(doing));
  std::error_code error;
  std::filesystem::remove_all(paths.node(name), error);
  if (error) return fail(error.value(), doing);
  return {};
}

Result<void> unmount_below(const Path& folder) {
  const auto mounts = TRY(read_file("/proc/self/mountinfo"));
  std::vector<std::string> points;
  std::istringstream lines(mounts.value_or(""));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word;
    for (int i = 0; i < 5; ++i) words >> word;  // the fifth is the mount point
    if (const auto point = unescaped(word); point.starts_with(folder.string() + "/")) points.push_back(point);
  }
  // What was mounted last may lie on top of or inside what was mounted first.
  std::reverse(points.begin(), points.end());
  for (const auto& point : points) {
    if (::umount2(point.c_str(), UMOUNT_NOFOLLOW) != 0 && ::umount2(point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
      return fail(errno, "unmount " + point);
    }
  }
  return {};
}

}  // namespace sluice::lab
