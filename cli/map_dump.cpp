#include "cli/map_dump.hpp"

#include "cli/map_dump_rules.hpp"
#include "cli/text.hpp"
#include "loader/observe/flows.hpp"
#include "maps/address.hpp"
#include "maps/names.hpp"
#include "maps/views.hpp"

namespace sluice::cli {

namespace {

using loader::Root;

std::string end_of(const maps::addr& address, maps::be16 port) { return end_text({Address(address), port.to_host()}); }

std::string mac_text(const unsigned char (&bytes)[6]) {
  Mac mac;
  std::copy(std::begin(bytes), std::end(bytes), mac.bytes.begin());
  return mac.text();
}

std::string origin_text(std::uint32_t origin) {
  if (origin == FLOW_ORIGIN_UPLINK) return "uplink";
  const std::uint32_t ifindex = origin & ~FLOW_ORIGIN_HOST;
  return (origin & FLOW_ORIGIN_HOST) != 0 ? fmt::format("{} (host)", ifindex) : std::to_string(ifindex);
}

/// How long ago, and in JSON the time itself, as CLOCK_MONOTONIC has it.
Cell since(std::uint64_t then_ns) {
  if (then_ns == 0) return {"never", 0};
  const std::uint64_t now = loader::observe::monotonic_ns();
  return {duration_text(std::chrono::nanoseconds(now > then_ns ? now - then_ns : 0)), then_ns};
}

/// What packets of a half of a translated connection become.
Cell becomes(const maps::flow_entry& entry, unsigned half) {
  if ((entry.flags & FLOW_TRANSLATED) == 0 || entry.met != half) return nothing();
  return {end_of(entry.to.src, entry.to.sport) + " > " + end_of(entry.to.dst, entry.to.dport)};
}

Result<Listing> dump_flows(const Root& root) {
  Listing listing({{"protocol", "PROTO"},
                   {"from", "FROM"},
                   {"to", "TO"},
                   {"initiator", "OPENED IT"},
                   {"createdNanoseconds", "AGE"},
                   {"packets", "PACKETS"},
                   {"bytes", "BYTES"},
                   {"lastSeenNanoseconds", "SEEN"},
                   {"epoch", "EPOCH"},
                   {"origin", "ORIGIN"},
                   {"delivery", "DELIVERY"},
                   {"egressIfindex", "OUT OF"},
                   {"mtu", "MTU"},
                   {"flags", "FLAGS"},
                   {"becomes", "BECOMES"},
                   {"inDestinationMac", "", Show::kJson},
                   {"inSourceMac", "", Show::kJson},
                   {"outDestinationMac", "", Show::kJson},
                   {"outSourceMac", "", Show::kJson}});
  const auto map = TRY(maps::open<maps::Flows>(root.maps()));
  TRY(map.each([&](const maps::flow_key& key, const maps::flow_entry& entry) {
    for (unsigned i = 0; i < 2; i++) {
      const maps::flow_half& half = entry.half[i];
      listing.add(
          {maps::protocol_name(key.proto), end_of(key.addr[i], key.port[i]), end_of(key.addr[1 - i], key.port[1 - i]),
           entry.initiator == i, since(entry.created_ns), half.packets, bytes(half.bytes), since(half.last_seen_ns),
           half.epoch, Cell(origin_text(half.origin), half.origin), maps::flow_delivery_name(half.delivery),
           half.egress_ifindex, half.mtu, maps::tcp_flags_text(half.tcp_flags), becomes(entry, i),
           mac_text(half.l2_in.dst), mac_text(half.l2_in.src), mac_text(half.l2_out.dst), mac_text(half.l2_out.src)});
    }
  }));
  return listing;
}

Result<Listing> dump_endpoints(const Root& root) {
  Listing listing({{"address", "ADDRESS"},
                   {"ifindex", "INTERFACE"},
                   {"mac", "MAC"},
                   {"mtu", "MTU"},
                   {"throughStack", "THROUGH STACK"},
                   {"shaped", "SHAPED"},
                   {"identity", "IDENTITY"},
                   {"blocks", "BLOCK CLASS"},
                   {"egress", "EGRESS POLICY"},
                   {"ingress", "INGRESS POLICY"}});
  const auto map = TRY(maps::open<maps::Endpoints>(root.maps()));
  const std::uint32_t generation = TRY(maps::generation_in(root.maps()));
  TRY(map.each([&](const maps::addr& address, const maps::endpoint& endpoint) {
    const maps::pod_policy& policy = endpoint.policy[generation];
    listing.add({Address(address).text(), endpoint.ifindex, mac_text(endpoint.pod_mac), endpoint.mtu,
                 (endpoint.flags & ENDPOINT_THROUGH_STACK) != 0, (endpoint.flags & ENDPOINT_SHAPED) != 0,
                 policy.classes.identity, policy.classes.blocks, policy.egress, policy.ingress});
  }));
  listing.sort({"ifindex", "address"});
  return listing;
}

Result<Listing> dump_fragments(const Root& root) {
  Listing listing({{"source", "SOURCE"},
                   {"destination", "DESTINATION"},
                   {"protocol", "PROTO"},
                   {"id", "PACKET"},
                   {"origin", "ORIGIN"},
                   {"sourcePort", "SOURCE PORT"},
                   {"destinationPort", "DESTINATION PORT"}});
  const auto map = TRY(maps::open<maps::Fragments>(root.maps()));
  TRY(map.each([&](const maps::fragment_key& key, const maps::fragment_ports& ports) {
    listing.add({Address(key.src).text(), Address(key.dst).text(),
                 key.proto != 0 ? Cell(maps::protocol_name(key.proto)) : nothing(), key.id.to_host(),
                 Cell(origin_text(key.origin), key.origin), ports.sport.to_host(), ports.dport.to_host()});
  }));
  return listing;
}

Result<Listing> dump_sockets(const Root& root) {
  Listing listing({{"cookie", "SOCKET"},
                   {"protocol", "PROTO"},
                   {"direction", "DIRECTION"},
                   {"address", "ADDRESS"},
                   {"becomes", "BECOMES"},
                   {"service", "SERVICE"},
                   {"backend", "BACKEND"}});
  const auto map = TRY(maps::open<maps::Sockets>(root.maps()));
  TRY(map.each([&](const maps::socket_key& key, const maps::socket_peer& peer) {
    listing.add({key.cookie, maps::protocol_name(key.proto), key.direction == maps::SOCKET_SENDS ? "sends" : "hears",
                 end_of(key.addr, key.port), end_of(peer.addr, peer.port), peer.service, peer.backend});
  }));
  return listing;
}

Result<Listing> dump_metrics(const Root& root) {
  Listing listing({{"index", "INDEX"},
                   {"reason", "REASON"},
                   {"hook", "HOOK"},
                   {"cpu", "CPU"},
                   {"packets", "PACKETS"},
                   {"bytes", "BYTES"}});
  auto map = TRY(maps::open<maps::Metrics>(root.maps()));
  const std::uint32_t capacity = TRY(map.capacity());
  for (std::uint32_t index = 0; index < capacity; index++) {
    unsigned cpu = 0;
    for (const maps::metric& metric : TRY(map.lookup(index))) {
      if (metric.packets != 0)
        listing.add({index, maps::drop_reason_name(index / maps::HOOK_MAX), maps::hook_name(index % maps::HOOK_MAX),
                     cpu, metric.packets, bytes(metric.bytes)});
      cpu++;
    }
  }
  return listing;
}

Result<Listing> dump_counters(const Root& root) {
  Listing listing({{"index", "INDEX"}, {"name", "COUNTER"}, {"cpu", "CPU"}, {"value", "VALUE"}});
  auto map = TRY(maps::open<maps::Counters>(root.maps()));
  for (const auto& words : maps::counter_words()) {
    unsigned cpu = 0;
    for (const std::uint64_t value : TRY(map.lookup(words.number)))
      listing.add({static_cast<std::uint32_t>(words.number), std::string(words.name), cpu++, value});
  }
  return listing;
}

std::string events_text(std::uint32_t events) {
  std::string text;
  for (std::uint32_t type = 0; type < 32; type++)
    if ((events & 1U << type) != 0) text += (text.empty() ? "" : ",") + maps::event_type_name(type);
  return text;
}

Result<Listing> dump_observer_filters(const Root& root) {
  Listing listing({{"slot", "SLOT"},
                   {"events", "EVENTS"},
                   {"address", "ADDRESS"},
                   {"mask", "MASK"},
                   {"port", "PORT"},
                   {"protocol", "PROTO"},
                   {"reason", "REASON"},
                   {"ifindex", "INTERFACE"},
                   {"leaseNanoseconds", "LEASE"},
                   {"lost", "LOST"}});
  const auto map = TRY(maps::open<maps::ObserverFilters>(root.maps()));
  const std::uint64_t now = loader::observe::monotonic_ns();
  const maps::addr any{};
  TRY(map.each([&](std::uint32_t slot, const maps::observer_filter& filter) {
    const bool all = Address(filter.mask) == Address(any);
    const bool over = filter.lease_ns <= now;
    listing.add({slot, name(events_text(filter.events)), all ? nothing() : Cell(Address(filter.address).text()),
                 all ? nothing() : Cell(Address(filter.mask).text()), filter.port.to_host(),
                 filter.proto != 0 ? Cell(maps::protocol_name(filter.proto)) : nothing(),
                 filter.reason != 0 ? Cell(maps::drop_reason_name(filter.reason)) : nothing(), filter.ifindex,
                 Cell(over ? "over" : duration_text(std::chrono::nanoseconds(filter.lease_ns - now)), filter.lease_ns),
                 filter.lost});
  }));
  return listing;
}

Result<Listing> dump_observers(const Root& root) {
  Listing listing({{"slot", "SLOT"}, {"ringId", "RING BUFFER"}});
  const auto map = TRY(maps::open<maps::Observers>(root.maps()));
  for (std::uint32_t slot = 0; slot < OBSERVER_SLOTS; slot++)
    if (const auto ring = TRY(map.lookup(slot))) listing.add({slot, *ring});
  return listing;
}

Result<Listing> dump_runtime(const Root& root) {
  Listing listing({{"epoch", "EPOCH"},
                   {"observers", "OBSERVERS"},
                   {"packetObservers", "OF EVERY PACKET"},
                   {"hasServices", "HAS SERVICES"}});
  const auto map = TRY(maps::open<maps::Runtime>(root.maps()));
  const auto bits = [](std::uint32_t mask) { return Cell(fmt::format("{:08b}", mask), mask); };
  if (const auto runtime = TRY(map.lookup(0)))
    listing.add(
        {runtime->epoch, bits(runtime->observers), bits(runtime->packet_observers), runtime->has_services != 0});
  return listing;
}

}  // namespace

const std::vector<MapDump>& map_dumps() {
  static const std::vector<MapDump> all = [] {
    std::vector<MapDump> dumps = {{maps::Flows::kName, dump_flows},
                                  {maps::Endpoints::kName, dump_endpoints},
                                  {maps::Fragments::kName, dump_fragments},
                                  {maps::Sockets::kName, dump_sockets},
                                  {maps::Metrics::kName, dump_metrics},
                                  {maps::Counters::kName, dump_counters},
                                  {maps::ObserverFilters::kName, dump_observer_filters},
                                  {maps::Observers::kName, dump_observers},
                                  {maps::Runtime::kName, dump_runtime}};
    const std::vector<MapDump> rules = rule_map_dumps();
    dumps.insert(dumps.end(), rules.begin(), rules.end());
    return dumps;
  }();
  return all;
}

}  // namespace sluice::cli
