#include "loader/observe/services.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <tuple>

#include "maps/array.hpp"
#include "maps/views.hpp"

namespace sluice::loader::observe {

namespace {

using state::service::ServiceRecord;

BackendShares shares_of(const maps::backend_table& table, const maps::MappedArray<std::uint32_t>& slots) {
  BackendShares shares;
  if (table.count == 0 || std::uint64_t{table.first} + table.count > slots.capacity()) return shares;
  for (std::uint32_t i = 0; i < table.count; i++) shares[slots[table.first + i]] += 1.0 / table.count;
  return shares;
}

bool has(const std::vector<Address>& list, const Address& one) { return std::ranges::find(list, one) != list.end(); }

}  // namespace

Result<ServiceNames> ServiceNames::read(const Root& root) {
  const auto path = state::service::record_file(root);
  std::ifstream file(path);
  if (!file) return fail(errno, "open " + path.string());
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return ServiceNames(TRY(state::service::parse_record(text).context("read " + path.string())));
}

ServiceNames::ServiceNames(state::service::Record record) : record_(std::move(record)) {
  for (std::size_t i = 0; i < record_.services.size(); i++) by_number_[record_.services[i].number] = i;
}

const ServiceRecord* ServiceNames::find(std::uint32_t number) const {
  const auto found = by_number_.find(number);
  return found != by_number_.end() ? &record_.services[found->second] : nullptr;
}

const ServiceRecord* ServiceNames::find(const std::string& service) const {
  const auto found = std::ranges::find(record_.services, service, &ServiceRecord::service);
  return found != record_.services.end() ? &*found : nullptr;
}

std::string ServiceNames::of(std::uint32_t number) const {
  const ServiceRecord* known = find(number);
  return known != nullptr ? known->service : "";
}

Result<ServiceMaps> ServiceMaps::read(const Root& root) {
  const auto services = TRY(maps::open<maps::Services>(root.maps()));
  const auto slots_map = TRY(maps::open<maps::BackendSlots>(root.maps()));
  const auto backends_map = TRY(maps::open<maps::Backends>(root.maps()));
  const auto slots = TRY(maps::MappedArray<std::uint32_t>::open(slots_map.fd(), TRY(slots_map.capacity())));
  const auto backends = TRY(maps::MappedArray<maps::backend>::open(backends_map.fd(), TRY(backends_map.capacity())));
  ServiceMaps found;
  for (std::uint32_t number = 1; number < backends.capacity(); number++) {
    const maps::backend one = backends[number];
    if (one.service == 0) continue;
    found.backends[number] = {number,
                              one.service,
                              {Address(one.addr), one.port.to_host()},
                              static_cast<maps::backend_state>(one.state),
                              (one.flags & BACKEND_LOCAL) != 0};
  }
  TRY(services.each([&](const maps::service_key& key, const maps::service& value) {
    if (key.proto == 0) return;  // a cluster address as a whole
    found.frontends.push_back({.service = value.id,
                               .end = {Address(key.addr), key.port.to_host()},
                               .proto = key.proto,
                               .flags = value.flags,
                               .affinity_seconds = value.affinity_s,
                               .port_index = value.port_index,
                               .inside = shares_of(value.inside, slots),
                               .outside = shares_of(value.outside, slots)});
  }));
  std::ranges::sort(found.frontends, {}, [](const ServiceFrontend& one) {
    return std::tuple(one.service, one.flags & (SERVICE_OUTSIDE | SERVICE_NODE_PORT), one.end.address, one.end.port,
                      one.proto);
  });
  return found;
}

std::string frontend_type(const ServiceFrontend& frontend, const ServiceRecord* record) {
  if ((frontend.service & HOST_PORT_SERVICE) != 0) return "HostPort";
  if ((frontend.flags & SERVICE_NODE_PORT) != 0) return "NodePort";
  if ((frontend.flags & SERVICE_OUTSIDE) == 0) return "ClusterIP";
  if (record != nullptr && has(record->balancers, frontend.end.address)) return "LoadBalancer";
  if (record != nullptr && has(record->external, frontend.end.address)) return "ExternalIP";
  return "External";
}

std::string frontend_policy(const ServiceFrontend& frontend, const ServiceRecord* record) {
  if ((frontend.service & HOST_PORT_SERVICE) != 0) return "";
  const bool outside = (frontend.flags & SERVICE_OUTSIDE) != 0;
  if (record != nullptr) return outside ? record->external_policy : record->internal_policy;
  if (outside) return (frontend.flags & SERVICE_KEEP_CLIENT) != 0 ? "Local" : "Cluster";
  return (frontend.flags & SERVICE_DROP_INSIDE) != 0 ? "Local" : "";
}

}  // namespace sluice::loader::observe
