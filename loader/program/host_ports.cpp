#include "loader/program/host_ports.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <set>

#include "loader/program/lock.hpp"
#include "maps/array.hpp"
#include "maps/bytes.hpp"
#include "maps/names.hpp"
#include "maps/views.hpp"

namespace sluice::loader::program {
namespace {

bool is_loopback(const Address& address) {
  static const Prefix kBlocks[] = {*Prefix::parse("127.0.0.0/8"), *Prefix::parse("::1/128")};
  return std::ranges::any_of(kBlocks, [&](const Prefix& block) { return block.contains(address); });
}

bool is_link_local(const Address& address) {
  static const Prefix kBlocks[] = {*Prefix::parse("169.254.0.0/16"), *Prefix::parse("fe80::/10")};
  return std::ranges::any_of(kBlocks, [&](const Prefix& block) { return block.contains(address); });
}

/// One address of the node, and where it leads.
struct Mapping {
  maps::service_key frontend{};
  Address pod;
  std::uint16_t container_port = 0;
  std::uint32_t flags = 0;  ///< SERVICE_*
};

/// The node's own processes find what is at all of its addresses at the loopback ones, too; and what is at a loopback
/// address is for them alone.
std::uint32_t flags_of(const HostPort& port) {
  if (!port.host_ip) return SERVICE_OUTSIDE | SERVICE_NODE_PORT;
  return is_loopback(*port.host_ip) ? 0 : SERVICE_OUTSIDE;
}

std::vector<Mapping> mappings(const std::vector<HostPort>& ports, const std::vector<Address>& pod,
                              const std::vector<Address>& node) {
  std::vector<Mapping> all;
  for (const HostPort& port : ports)
    for (const Address& behind : pod)
      for (const Address& at : port.host_ip ? std::vector{*port.host_ip} : node) {
        if (at.is_v4() != behind.is_v4()) continue;
        Mapping one{{}, behind, port.container_port, flags_of(port)};
        one.frontend.addr = at.wire();
        one.frontend.port = maps::be16::from_host(port.host_port);
        one.frontend.proto = port.proto;
        all.push_back(one);
      }
  return all;
}

std::string text_of(const maps::service_key& frontend) {
  return "host port " + std::to_string(frontend.port.to_host()) + "/" + maps::protocol_name(frontend.proto) + " at " +
         Address(frontend.addr).text();
}

bool is_host_port(std::uint32_t service) { return (service & HOST_PORT_SERVICE) != 0; }

}  // namespace

Result<std::vector<Address>> node_addresses(net::Netlink& host) {
  std::vector<Address> all;
  for (const Prefix& one : TRY(host.addresses(0)))
    if (!is_loopback(one.address) && !is_link_local(one.address)) all.push_back(one.address);
  return all;
}

struct HostPorts::State {
  Root root;
  maps::Services services;
  maps::Endpoints endpoints;
  maps::MappedArray<std::uint32_t> slots;
  maps::MappedArray<maps::backend> backends;
  maps::Mapped<maps::runtime> runtime;

  [[nodiscard]] std::uint32_t count() const { return HOST_PORTS_OF(backends.capacity(), slots.capacity()); }
  [[nodiscard]] maps::backend& backend(std::uint32_t index) const { return backends[backends.capacity() - 1 - index]; }
  [[nodiscard]] bool leads_to(std::uint32_t service, const Mapping& mapping) const;
  [[nodiscard]] std::optional<std::uint32_t> index_of(const Mapping& mapping) const;
  [[nodiscard]] Result<bool> is_dead(const maps::backend& one) const;
  Result<bool> is_there(const Mapping& mapping);
  void fill(std::uint32_t index, const Mapping& mapping) const;
  Result<void> erase(const std::function<Result<bool>(const maps::backend&)>& which);
};

bool HostPorts::State::leads_to(std::uint32_t service, const Mapping& mapping) const {
  const std::uint32_t index = service & ~HOST_PORT_SERVICE;
  if (!is_host_port(service) || index >= count()) return false;
  const maps::backend& there = backend(index);
  return there.service == service && Address(there.addr) == mapping.pod &&
         there.port.to_host() == mapping.container_port;
}

/// The one that leads there already, else one that is free. nullopt: there is no room.
std::optional<std::uint32_t> HostPorts::State::index_of(const Mapping& mapping) const {
  std::optional<std::uint32_t> free;
  for (std::uint32_t index = 0; index < count(); index++) {
    if (backend(index).service == 0) {
      if (!free) free = index;
    } else if (leads_to(HOST_PORT_SERVICE | index, mapping)) {
      return index;
    }
  }
  return free;
}

Result<bool> HostPorts::State::is_dead(const maps::backend& one) const {
  return !TRY(endpoints.lookup(one.addr)).has_value();
}

/// False: nobody has the frontend. EADDRINUSE: somebody else has it.
Result<bool> HostPorts::State::is_there(const Mapping& mapping) {
  const auto known = TRY(services.lookup(mapping.frontend));
  if (!known) return false;
  if (leads_to(known->id, mapping)) return true;
  if (!is_host_port(known->id))
    return refuse(EADDRINUSE, text_of(mapping.frontend) + " is a Service's (number " + std::to_string(known->id) +
                                  " in `bpfctl service list`)");
  const std::uint32_t index = known->id & ~HOST_PORT_SERVICE;
  const bool alive = index < count() && backend(index).service == known->id && !TRY(is_dead(backend(index)));
  if (alive)
    return refuse(EADDRINUSE,
                  text_of(mapping.frontend) + " leads to the pod " + Address(backend(index).addr).text() + " already");
  TRY(services.erase(mapping.frontend));
  return false;
}

/// Backend, then slot: nothing points at them yet.
void HostPorts::State::fill(std::uint32_t index, const Mapping& mapping) const {
  maps::backend one{};
  one.addr = mapping.pod.wire();
  one.port = maps::be16::from_host(mapping.container_port);
  one.state = maps::BACKEND_SERVING;
  one.flags = BACKEND_LOCAL;
  one.service = HOST_PORT_SERVICE | index;
  backend(index) = one;
  slots[slots.capacity() - 1 - index] = backends.capacity() - 1 - index;
}

/// Frontends, then what they lead to.
Result<void> HostPorts::State::erase(const std::function<Result<bool>(const maps::backend&)>& which) {
  std::set<std::uint32_t> ids;
  for (std::uint32_t index = 0; index < count(); index++)
    if (backend(index).service != 0 && TRY(which(backend(index)))) ids.insert(HOST_PORT_SERVICE | index);
  if (ids.empty()) return {};
  std::vector<maps::service_key> frontends;
  TRY(services.each([&](const maps::service_key& key, const maps::service& value) {
    if (ids.contains(value.id)) frontends.push_back(key);
  }));
  for (const maps::service_key& key : frontends) TRY(services.erase(key));
  for (const std::uint32_t id : ids) {
    backend(id & ~HOST_PORT_SERVICE) = {};
    slots[slots.capacity() - 1 - (id & ~HOST_PORT_SERVICE)] = 0;
  }
  maps::advance_epoch(*runtime);
  return {};
}

HostPorts::HostPorts(std::unique_ptr<State> state) : state_(std::move(state)) {}
HostPorts::HostPorts(HostPorts&&) noexcept = default;
HostPorts& HostPorts::operator=(HostPorts&&) noexcept = default;
HostPorts::~HostPorts() = default;

Result<HostPorts> HostPorts::open(const Root& root) {
  auto services = TRY(maps::open<maps::Services>(root.maps()));
  auto endpoints = TRY(maps::open<maps::Endpoints>(root.maps()));
  const auto slots_map = TRY(maps::open<maps::BackendSlots>(root.maps()));
  const auto backends_map = TRY(maps::open<maps::Backends>(root.maps()));
  auto slots = TRY(maps::MappedArray<std::uint32_t>::open(slots_map.fd(), TRY(slots_map.capacity())));
  auto backends = TRY(maps::MappedArray<maps::backend>::open(backends_map.fd(), TRY(backends_map.capacity())));
  auto runtime = TRY(maps::Mapped<maps::runtime>::open(TRY(maps::open<maps::Runtime>(root.maps())).fd()));
  return HostPorts(std::make_unique<State>(State{root, std::move(services), std::move(endpoints), std::move(slots),
                                                 std::move(backends), std::move(runtime)}));
}

Result<void> HostPorts::put(const std::vector<HostPort>& ports, const std::vector<Address>& pod,
                            const std::vector<Address>& node) {
  State& state = *state_;
  const auto all = mappings(ports, pod, node);
  if (all.empty()) return {};
  const Lock lock = TRY(Lock::host_ports(state.root));
  std::vector<Mapping> wanted;
  for (const Mapping& one : all)
    if (!TRY(state.is_there(one))) wanted.push_back(one);
  if (wanted.empty()) return {};
  std::vector<maps::service_key> made;
  std::vector<std::uint32_t> filled;
  const auto undo = [&](Error error) {
    for (const maps::service_key& key : made) (void)state.services.erase(key);
    for (const std::uint32_t index : filled) state.backend(index) = {};
    return error;
  };
  for (const Mapping& one : wanted) {
    const auto index = state.index_of(one);
    if (!index)
      return undo(refuse(E2BIG, text_of(one.frontend) + ": the node has as many host ports as it can, " +
                                    std::to_string(state.count()) + ": a sixteenth of maps.backends in sluice.yaml"));
    if (state.backend(*index).service == 0) {
      state.fill(*index, one);
      filled.push_back(*index);
    }
    maps::service value{};
    value.id = HOST_PORT_SERVICE | *index;
    value.flags = one.flags;
    value.inside = value.outside = {state.slots.capacity() - 1 - *index, 1};
    auto put = state.services.insert(one.frontend, value);
    if (put.failed_with(EEXIST))  // an agent was faster
      return undo(refuse(EADDRINUSE, text_of(one.frontend) + " is a Service's"));
    if (put.failed_with(E2BIG))
      return undo(refuse(E2BIG, text_of(one.frontend) + ": the services map is full (maps.services in sluice.yaml)"));
    if (!put) return undo(std::move(put).context("write " + text_of(one.frontend)).error());
    made.push_back(one.frontend);
  }
  __atomic_store_n(&state.runtime->has_services, 1, __ATOMIC_SEQ_CST);
  maps::advance_epoch(*state.runtime);
  return {};
}

Result<void> HostPorts::erase(const std::vector<Address>& pod) {
  const Lock lock = TRY(Lock::host_ports(state_->root));
  return state_->erase(
      [&](const maps::backend& one) -> Result<bool> { return std::ranges::find(pod, Address(one.addr)) != pod.end(); });
}

Result<void> HostPorts::erase_dead() {
  const Lock lock = TRY(Lock::host_ports(state_->root));
  return state_->erase([&](const maps::backend& one) { return state_->is_dead(one); });
}

Result<std::optional<std::string>> HostPorts::missing(const std::vector<HostPort>& ports,
                                                      const std::vector<Address>& pod,
                                                      const std::vector<Address>& node) const {
  for (const Mapping& one : mappings(ports, pod, node)) {
    const auto known = TRY(state_->services.lookup(one.frontend));
    if (!known) return std::optional(text_of(one.frontend) + " is missing");
    if (!state_->leads_to(known->id, one)) return std::optional(text_of(one.frontend) + " leads elsewhere");
  }
  return std::optional<std::string>();
}

}  // namespace sluice::loader::program
