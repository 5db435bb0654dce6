#include "loader/state/service/choice.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace sluice::loader::state::service {
namespace {

bool contains(const std::vector<std::string>& list, const std::string& one) {
  return std::ranges::find(list, one) != list.end();
}

const kube::EndpointPort* port_of(const kube::EndpointSlice& slice, const kube::ServicePort& port) {
  const auto found = std::ranges::find_if(slice.ports, [&](const kube::EndpointPort& one) {
    return one.name == port.name && one.protocol == port.protocol;
  });
  return found != slice.ports.end() ? &*found : nullptr;
}

enum class Hints { kNone, kZone, kNode };

/// Hints count only where every ready endpoint has one and at least one is for here; those for the node are closer.
Hints hints_that_count(const std::vector<Candidate>& all, const std::vector<std::size_t>& ready, const Here& here) {
  const auto every = [&](auto has) { return std::ranges::all_of(ready, [&](auto i) { return has(*all[i].from); }); };
  const auto some = [&](auto has) { return std::ranges::any_of(ready, [&](auto i) { return has(*all[i].from); }); };
  if (every([](const kube::Endpoint& one) { return !one.for_nodes.empty(); }) &&
      some([&](const kube::Endpoint& one) { return contains(one.for_nodes, here.node); }))
    return Hints::kNode;
  if (!here.zone.empty() && every([](const kube::Endpoint& one) { return !one.for_zones.empty(); }) &&
      some([&](const kube::Endpoint& one) { return contains(one.for_zones, here.zone); }))
    return Hints::kZone;
  return Hints::kNone;
}

bool hinted(const kube::Endpoint& endpoint, Hints hints, const Here& here) {
  if (hints == Hints::kNode) return contains(endpoint.for_nodes, here.node);
  if (hints == Hints::kZone) return contains(endpoint.for_zones, here.zone);
  return true;
}

std::vector<std::size_t> where(const std::vector<Candidate>& all, auto fits) {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < all.size(); i++)
    if (fits(all[i])) found.push_back(i);
  return found;
}

}  // namespace

std::vector<Candidate> candidates(const kube::Service& service, const kube::ServicePort& port,
                                  const std::vector<const kube::EndpointSlice*>& slices, bool family_v4,
                                  const Here& here) {
  std::map<std::pair<Address, std::uint16_t>, Candidate> found;
  for (const kube::EndpointSlice* slice : slices) {
    if ((slice->address_type == kube::EndpointSlice::AddressType::kIpv4) != family_v4) continue;
    const kube::EndpointPort* target = port_of(*slice, port);
    if (target == nullptr) continue;
    for (const kube::Endpoint& endpoint : slice->endpoints) {
      Candidate one{.address = endpoint.address,
                    .port = target->port,
                    .ready = endpoint.ready || service.publish_not_ready,
                    .serving = endpoint.serving,
                    .terminating = endpoint.terminating,
                    .local = !endpoint.node_name.empty() && endpoint.node_name == here.node,
                    .from = &endpoint};
      auto& known = found[{one.address, one.port}];
      if (known.from == nullptr || (!known.ready && one.ready)) known = one;
    }
  }
  std::vector<Candidate> all;
  all.reserve(found.size());
  for (const auto& [key, one] : found) all.push_back(one);
  return all;
}

std::vector<std::size_t> choose(const std::vector<Candidate>& all, bool local_only, const Here& here) {
  const auto in_reach = [&](const Candidate& one) { return !local_only || one.local; };
  auto ready = where(all, [&](const Candidate& one) { return in_reach(one) && one.ready; });
  if (ready.empty())
    return where(all, [&](const Candidate& one) { return in_reach(one) && one.serving && one.terminating; });
  if (local_only) return ready;
  const Hints hints = hints_that_count(all, ready, here);
  std::erase_if(ready, [&](std::size_t i) { return !hinted(*all[i].from, hints, here); });
  return ready;
}

std::size_t ready_here(const kube::Service& service, const std::vector<const kube::EndpointSlice*>& slices,
                       const Here& here) {
  std::size_t most = 0;
  for (const auto family : {kube::EndpointSlice::AddressType::kIpv4, kube::EndpointSlice::AddressType::kIpv6}) {
    std::set<Address> ready;
    for (const kube::EndpointSlice* slice : slices) {
      if (slice->address_type != family) continue;
      for (const kube::Endpoint& one : slice->endpoints)
        if ((one.ready || service.publish_not_ready) && !one.node_name.empty() && one.node_name == here.node)
          ready.insert(one.address);
    }
    most = std::max(most, ready.size());
  }
  return most;
}

std::string explain(const std::vector<Candidate>& all, std::size_t one, bool local_only, const Here& here) {
  const auto chosen = choose(all, local_only, here);
  const Candidate& candidate = all[one];
  if (std::ranges::find(chosen, one) != chosen.end())
    return candidate.ready ? "used: ready" : "used: terminating, but still serving, and no other is ready";
  if (local_only && !candidate.local) return "not used: the traffic policy is Local and it is on another node";
  if (candidate.ready) return "not used: hints keep traffic to endpoints that are closer";
  if (candidate.terminating)
    return candidate.serving ? "not used: terminating, and others are ready" : "not used: terminating and not serving";
  return "not used: not ready";
}

}  // namespace sluice::loader::state::service
