#include "loader/observe/flows.hpp"

#include <algorithm>
#include <ctime>

#include "maps/views.hpp"

namespace sluice::loader::observe {

namespace {

FlowDirection to_direction(const maps::flow_half& half, std::uint32_t epoch) {
  return {.packets = half.packets,
          .bytes = half.bytes,
          .delivery = static_cast<maps::flow_delivery>(half.delivery),
          .egress_ifindex = static_cast<int>(half.egress_ifindex),
          .mtu = half.mtu,
          .tcp_flags = half.tcp_flags,
          .current = half.epoch == epoch};
}

std::chrono::nanoseconds timeout_of(enum maps::flow_timeout which, const Timeouts& timeouts) {
  switch (which) {
    case maps::TIMEOUT_TCP_OPENING:
      return timeouts.tcp_opening;
    case maps::TIMEOUT_TCP_ESTABLISHED:
      return timeouts.tcp_established;
    case maps::TIMEOUT_TCP_CLOSING:
      return timeouts.tcp_closing;
    case maps::TIMEOUT_TCP_CLOSED:
      return timeouts.tcp_closed;
    case maps::TIMEOUT_UDP_OPENING:
      return timeouts.udp_opening;
    case maps::TIMEOUT_UDP_ESTABLISHED:
      return timeouts.udp_established;
    case maps::TIMEOUT_ICMP:
      return timeouts.icmp;
    case maps::TIMEOUT_OTHER:
    case maps::TIMEOUT_MAX:
      break;
  }
  return timeouts.other;
}

/// Clocks of several CPUs, and the coarse clock, may be a little ahead of the reader's.
std::chrono::nanoseconds since(std::uint64_t then_ns, std::uint64_t now_ns) {
  return std::chrono::nanoseconds(now_ns > then_ns ? now_ns - then_ns : 0);
}

bool one_of(const std::vector<Address>& addresses, const Address& address) {
  return std::ranges::find(addresses, address) != addresses.end();
}

}  // namespace

std::uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

bool FlowFilter::passes(const Flow& flow) const {
  if (!(flow.expired ? expired : live)) return false;
  if (state && *state != flow.state) return false;
  if (proto && *proto != flow.proto) return false;
  if (port && *port != flow.source.port && *port != flow.destination.port) return false;
  const Address &source = flow.source.address, &destination = flow.destination.address;
  const Address& behind = flow.backend ? flow.backend->address : destination;
  if (address && !address->contains(source) && !address->contains(destination) && !address->contains(behind))
    return false;
  return pod.empty() || one_of(pod, source) || one_of(pod, destination) || one_of(pod, behind);
}

Flow to_flow(const maps::flow_key& key, const maps::flow_entry& entry, std::uint64_t now_ns, std::uint32_t epoch,
             const Timeouts& timeouts) {
  const unsigned from = entry.initiator & 1, to = from ^ 1;
  const maps::flow_half &sent = entry.half[from], &received = entry.half[to];
  Flow flow{.proto = key.proto,
            .state = maps::flow_entry_state(key.proto, &entry),
            .source = {Address(key.addr[from]), key.port[from].to_host()},
            .destination = {Address(key.addr[to]), key.port[to].to_host()},
            .sent = to_direction(sent, epoch),
            .received = to_direction(received, epoch),
            .age = since(entry.created_ns, now_ns),
            .idle = since(std::max(sent.last_seen_ns, received.last_seen_ns), now_ns)};
  flow.seen_as = flow.source;
  flow.service = entry.service;
  if (entry.flags != 0) flow.backend = {Address(entry.to.dst), entry.to.dport.to_host()};
  if ((entry.flags & FLOW_TRANSLATED) != 0) flow.seen_as = {Address(entry.to.src), entry.to.sport.to_host()};
  flow.expired = flow.idle > timeout_of(maps::flow_timeout(key.proto, flow.state), timeouts);
  return flow;
}

Result<std::vector<Flow>> flows(const Root& root, const FlowFilter& filter, const Timeouts& timeouts) {
  const auto map = TRY(maps::open<maps::Flows>(root.maps()));
  const auto runtime = TRY(maps::Mapped<maps::runtime>::open(TRY(maps::open<maps::Runtime>(root.maps())).fd()));
  const std::uint32_t epoch = runtime->epoch;
  const std::uint64_t now = monotonic_ns();
  std::vector<Flow> found;
  TRY(map.each([&](const maps::flow_key& key, const maps::flow_entry& entry) {
    // The other entry of a translated connection tells the same.
    if ((entry.flags & FLOW_TRANSLATED) != 0 && entry.met != entry.initiator) return;
    Flow flow = to_flow(key, entry, now, epoch, timeouts);
    if (filter.passes(flow)) found.push_back(flow);
  }));
  return found;
}

}  // namespace sluice::loader::observe
