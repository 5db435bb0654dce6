#include "loader/bgp/configuration.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <set>
#include <utility>

#include "loader/state/service/choice.hpp"

namespace sluice::loader::bgp {
namespace {

constexpr const char* kHead =
    "# Written by sluiced by sluice.yaml and the cluster's objects: what is changed here is lost.\n";

/// Clients from outside may come to this node for the Service.
bool serves_outside(const kube::Service& service, const std::vector<const kube::EndpointSlice*>& slices,
                    const state::service::Here& here) {
  return service.hands_off == kube::Service::HandsOff::kNo &&
         (service.external_policy == kube::Service::TrafficPolicy::kCluster ||
          state::service::ready_here(service, slices, here) > 0);
}

std::string mark_of(const std::string& text) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const unsigned char byte : text) hash = (hash ^ byte) * 0x100000001b3;
  char mark[24];
  std::snprintf(mark, sizeof(mark), "sluice %016llx", static_cast<unsigned long long>(hash));
  return mark;
}

std::string static_routes(const std::vector<Prefix>& announced, bool v4) {
  std::string text =
      std::string("protocol static sluice_announced_v") + (v4 ? "4" : "6") + " {\n  ipv" + (v4 ? "4" : "6") + ";\n";
  for (const Prefix& block : announced)
    if (block.address.is_v4() == v4) text += "  route " + block.text() + " blackhole;\n";
  return text + "}\n";
}

/// What is learned; what is announced are routes of BIRD's own and no way of the kernel's.
std::string kernel_routes(bool v4) {
  const std::string family = v4 ? "4" : "6";
  return "protocol kernel sluice_kernel_v" + family + " {\n  ipv" + family +
         " { import none; export where source = RTS_BGP; };\n  merge paths on;\n}\n";
}

std::string peer_protocol(const Bgp& bgp, const BgpPeer& peer, std::size_t number) {
  const std::string family = peer.address.is_v4() ? "4" : "6";
  std::string text = "protocol bgp sluice_peer_" + std::to_string(number) + " {\n  local as " +
                     std::to_string(bgp.asn) + ";\n  neighbor " + peer.address.text() + " port " +
                     std::to_string(peer.port) + " as " + std::to_string(peer.asn) + ";\n";
  if (!peer.password.empty()) text += "  password \"" + peer.password + "\";\n";
  if (peer.bfd) text += "  bfd on;\n";
  // Nodes of one autonomous system learn of each other by a router of another.
  if (peer.asn != bgp.asn) text += "  allow local as 1;\n";
  return text + "  ipv" + family + " { import all; export where proto = \"sluice_announced_v" + family +
         "\"; next hop self; };\n}\n";
}

}  // namespace

std::vector<Prefix> announced(const state::Cluster& cluster, const std::string& node, const NodeConfig& config) {
  std::set<std::pair<Address, unsigned>> blocks;
  const auto add = [&](const Prefix& block) { blocks.emplace(block.first(), block.length); };
  for (const Prefix& block : config.pod_cidrs) add(block);
  const kube::Object* object = cluster.find({"Node", "", node});
  const auto* self = object != nullptr ? std::get_if<kube::Node>(&object->body) : nullptr;
  if (self == nullptr || !self->excluded_from_load_balancers) {
    const state::service::Here here{node, self != nullptr ? self->zone : std::string()};
    cluster.each<kube::Service>([&](const kube::Object& one, const kube::Service& service) {
      if (!serves_outside(service, cluster.slices(one.id.ns, one.id.name), here)) return;
      for (const auto* list : {&service.load_balancer_ips, &service.external_ips})
        for (const Address& address : *list) add(Prefix::host(address));
    });
  }
  std::vector<Prefix> all;
  for (const auto& [address, length] : blocks) all.push_back({address, length});
  return all;
}

Result<Configuration> configuration(const NodeConfig& config, const std::vector<Prefix>& announced) {
  std::string body;
  if (config.bgp) {
    const auto own = std::ranges::find_if(config.node_addresses, &Address::is_v4);
    if (!config.bgp->router_id && own == config.node_addresses.end())
      return refuse(EINVAL, "bgp: the node has no IPv4 address in nodeAddresses: give it a routerID");
    body = "router id " + (config.bgp->router_id ? *config.bgp->router_id : *own).text() + ";\n";
    if (std::ranges::any_of(config.bgp->peers, &BgpPeer::bfd)) body += "protocol bfd sluice_bfd { }\n";
    for (const bool v4 : {true, false}) body += static_routes(announced, v4) + kernel_routes(v4);
    for (std::size_t i = 0; i < config.bgp->peers.size(); i++)
      body += peer_protocol(*config.bgp, config.bgp->peers[i], i + 1);
  }
  const std::string mark = mark_of(body);
  return Configuration{kHead + ("protocol device sluice_device { description \"" + mark + "\"; }\n") + body, mark};
}

}  // namespace sluice::loader::bgp
