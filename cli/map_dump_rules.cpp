// The maps that the agent fills: services, policies and who has which address.
#include "cli/map_dump_rules.hpp"

#include <cstring>

#include "cli/text.hpp"
#include "maps/address.hpp"
#include "maps/names.hpp"
#include "maps/views.hpp"

namespace sluice::cli {

namespace {

using loader::Root;

std::string end_of(const maps::addr& address, maps::be16 port) { return end_text({Address(address), port.to_host()}); }

/// A prefix of the tries: the length is that of the address as ::ffff:a.b.c.d.
std::string block_text(const maps::be32 (&word)[4], std::uint32_t length) {
  maps::addr address;
  std::memcpy(address.word, word, sizeof(address.word));
  const Address text(address);
  return text.text() + "/" + std::to_string(text.is_v4() && length >= 96 ? length - 96 : length);
}

/// The names of the bits that are set, by the bit's number.
std::string flags_text(std::uint32_t flags, const std::vector<const char*>& names) {
  std::string text;
  for (std::size_t bit = 0; bit < names.size(); bit++)
    if ((flags & 1U << bit) != 0) text += (text.empty() ? "" : ",") + std::string(names[bit]);
  return text.empty() ? "-" : text;
}

std::string table_text(const maps::backend_table& table) {
  return table.count == 0 ? "-" : fmt::format("{}+{}", table.first, table.count);
}

Result<Listing> dump_services(const Root& root) {
  Listing listing({{"frontend", "FRONTEND"},
                   {"protocol", "PROTO"},
                   {"service", "SERVICE"},
                   {"port", "PORT INDEX"},
                   {"insideSlots", "SLOTS INSIDE"},
                   {"outsideSlots", "SLOTS OUTSIDE"},
                   {"affinitySeconds", "AFFINITY"},
                   {"flags", "FLAGS"}});
  const auto map = TRY(maps::open<maps::Services>(root.maps()));
  TRY(map.each([&](const maps::service_key& key, const maps::service& service) {
    listing.add({end_of(key.addr, key.port), key.proto != 0 ? Cell(maps::protocol_name(key.proto)) : nothing(),
                 service.id, service.port_index, name(table_text(service.inside)), name(table_text(service.outside)),
                 service.affinity_s,
                 name(flags_text(service.flags, {"outside", "keep-client", "maglev", "drop-inside", "drop-outside",
                                                 "dsr", "source-ranges", "node-port"}))});
  }));
  listing.sort({"frontend"});
  return listing;
}

Result<Listing> dump_backend_slots(const Root& root) {
  Listing listing({{"slot", "SLOT"}, {"backend", "BACKEND"}});
  const auto map = TRY(maps::open<maps::BackendSlots>(root.maps()));
  TRY(map.each([&](std::uint32_t slot, std::uint32_t backend) {
    if (backend != 0) listing.add({slot, backend});
  }));
  return listing;
}

Result<Listing> dump_backends(const Root& root) {
  Listing listing(
      {{"backend", "BACKEND"}, {"address", "ADDRESS"}, {"service", "SERVICE"}, {"state", "STATE"}, {"local", "LOCAL"}});
  const auto map = TRY(maps::open<maps::Backends>(root.maps()));
  TRY(map.each([&](std::uint32_t number, const maps::backend& backend) {
    if (backend.service == 0) return;
    listing.add({number, end_of(backend.addr, backend.port), backend.service,
                 name(maps::backend_state_name(backend.state)), (backend.flags & BACKEND_LOCAL) != 0});
  }));
  return listing;
}

Result<Listing> dump_source_ranges(const Root& root) {
  Listing listing({{"service", "SERVICE"}, {"block", "BLOCK"}});
  const auto map = TRY(maps::open<maps::SourceRanges>(root.maps()));
  TRY(map.each([&](const maps::source_range_key& key, std::uint32_t) {
    listing.add({key.service, block_text(key.word, key.prefix_len - 32)});
  }));
  listing.sort({"service", "block"});
  return listing;
}

Result<Listing> dump_affinity(const Root& root) {
  Listing listing({{"client", "CLIENT"}, {"service", "SERVICE"}, {"endpoint", "ENDPOINT"}});
  const auto map = TRY(maps::open<maps::Affinity>(root.maps()));
  TRY(map.each([&](const maps::affinity_key& key, const maps::affinity_entry& entry) {
    listing.add({Address(key.client).text(), key.service, entry.endpoint});
  }));
  return listing;
}

Result<Listing> dump_ipcache(const Root& root) {
  Listing listing({{"block", "BLOCK"}, {"identity", "IDENTITY"}, {"blocks", "BLOCK CLASS"}, {"node", "NODE"}});
  const auto map = TRY(maps::open<maps::Ipcache>(root.maps()));
  const std::uint32_t generation = TRY(maps::generation_in(root.maps()));
  TRY(map.each([&](const maps::ipcache_key& key, const maps::ipcache_entry& entry) {
    const auto [identity, blocks] = entry.classes[generation];
    listing.add({block_text(key.word, key.prefix_len), identity, blocks, entry.node});
  }));
  listing.sort({"block"});
  return listing;
}

Result<Listing> dump_nodes(const Root& root) {
  Listing listing({{"node", "NODE"}, {"address", "ADDRESS"}, {"way", "WAY"}, {"device", "DEVICE"}, {"mtu", "MTU"}});
  const auto map = TRY(maps::open<maps::Nodes>(root.maps()));
  TRY(map.each([&](std::uint32_t id, const maps::node& node) {
    const Address address(node.address);
    if (address == Address() && node.ifindex == 0) return;
    if (id == NODE_HERE)
      listing.add({id, address.text(), "this node", node.ifindex, node.mtu});
    else
      listing.add({id, address.text(), (node.flags & NODE_NATIVE) != 0 ? "route" : "tunnel", nothing(), nothing()});
  }));
  return listing;
}

Result<Listing> dump_uplinks(const Root& root) {
  Listing listing({{"ifindex", "UPLINK"},
                   {"v4", "IPV4 SOURCE"},
                   {"v6", "IPV6 SOURCE"},
                   {"mtu", "MTU"},
                   {"keptPortsFirst", "KEPT PORTS FROM"},
                   {"keptPortsLast", "TO"}});
  const auto map = TRY(maps::open<maps::Uplinks>(root.maps()));
  const auto source = [](const maps::addr& address) {
    return Address(address) == Address() ? nothing() : Cell(Address(address).text());
  };
  TRY(map.each([&](std::uint32_t ifindex, const maps::uplink& uplink) {
    listing.add({ifindex, source(uplink.v4), source(uplink.v6), uplink.mtu, uplink.ports_first, uplink.ports_last});
  }));
  listing.sort({"ifindex"});
  return listing;
}

Result<Listing> dump_denied(const Root& root) {
  Listing listing({{"block", "BLOCK"}, {"denied", "DENIED"}});
  const auto map = TRY(maps::open<maps::Denied>(root.maps()));
  TRY(map.each([&](const maps::denied_key& key, std::uint32_t value) {
    listing.add({block_text(key.word, key.prefix_len), value == maps::DENIED_YES ? "yes" : "no"});
  }));
  listing.sort({"block"});
  return listing;
}

Result<Listing> dump_policies(const Root& root) {
  Listing listing({{"policy", "POLICY"}, {"flags", "FLAGS"}, {"portLengths", "PORT PREFIXES"}});
  const auto map = TRY(maps::open<maps::Policies>(root.maps()));
  TRY(map.each([&](std::uint32_t id, const maps::policy& policy) {
    if (policy.flags != 0)
      listing.add({id, name(flags_text(policy.flags, {"isolates", "audit", "reject", "in-force"})),
                   Cell(fmt::format("{:#x}", policy.port_lengths), policy.port_lengths)});
  }));
  return listing;
}

/// "admin deny by 7, network allow by 12"
std::string verdict_text(const maps::peer_verdict& said) {
  std::string text;
  const auto add = [&](const char* tier, const maps::tier_verdict& verdict) {
    if (verdict.verdict == maps::POLICY_NONE) return;
    text += fmt::format("{}{} {} by {}", text.empty() ? "" : ", ", tier, maps::policy_verdict_name(verdict.verdict),
                        verdict.rule);
  };
  add("admin", said.admin);
  add("network", said.network);
  add("baseline", said.baseline);
  return text.empty() ? "-" : text;
}

Result<Listing> dump_policy_ports(const Root& root) {
  Listing listing({{"policy", "POLICY"},
                   {"protocol", "PROTO"},
                   {"port", "PORT"},
                   {"length", "BITS"},
                   {"set", "PEERS"},
                   {"everyone", "EVERYONE"}});
  const auto map = TRY(maps::open<maps::PolicyPorts>(root.maps()));
  TRY(map.each([&](const maps::policy_port_key& key, const maps::policy_port& port) {
    listing.add({key.policy, key.proto != 0 ? Cell(maps::protocol_name(key.proto)) : nothing(), key.port.to_host(),
                 key.length, port.set, name(verdict_text(port.everyone))});
  }));
  listing.sort({"policy", "port"});
  return listing;
}

Result<Listing> dump_peers(const Root& root) {
  Listing listing({{"set", "PEERS"}, {"class", "CLASS"}, {"verdict", "VERDICT"}});
  const auto map = TRY(maps::open<maps::Peers>(root.maps()));
  TRY(map.each([&](const maps::peer_key& key, const maps::peer_verdict& verdict) {
    listing.add({key.set, key.peer_class, name(verdict_text(verdict))});
  }));
  listing.sort({"set", "class"});
  return listing;
}

}  // namespace

std::vector<MapDump> rule_map_dumps() {
  return {{maps::Services::kName, dump_services}, {maps::BackendSlots::kName, dump_backend_slots},
          {maps::Backends::kName, dump_backends}, {maps::SourceRanges::kName, dump_source_ranges},
          {maps::Affinity::kName, dump_affinity}, {maps::Ipcache::kName, dump_ipcache},
          {maps::Nodes::kName, dump_nodes},       {maps::Uplinks::kName, dump_uplinks},
          {maps::Policies::kName, dump_policies}, {maps::PolicyPorts::kName, dump_policy_ports},
          {maps::Peers::kName, dump_peers},       {maps::Denied::kName, dump_denied}};
}

}  // namespace sluice::cli
