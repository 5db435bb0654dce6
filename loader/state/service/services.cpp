#include "loader/state/service/services.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <optional>

#include "loader/program/lock.hpp"
#include "loader/state/service/compile.hpp"
#include "maps/array.hpp"
#include "maps/bytes.hpp"
#include "maps/runtime.h"
#include "maps/trie_key.hpp"

namespace sluice::loader::state::service {
namespace {

using Frontends = maps::Table<maps::service_key, maps::service>;
using SourceRanges = maps::KeySet<maps::source_range_key>;

Error full(const std::string& map, const std::string& key) {
  return refuse(E2BIG, "services: no room in map " + map + ": nothing was changed (maps." + key +
                           " in sluice.yaml, then `sluiced remove` and `sluiced load`)");
}

}  // namespace

/// A run of slots with what it holds.
struct Run {
  std::uint32_t first = 0;
  Slots content;  ///< numbers of backends
};

/// One Service with its numbers, as it stands in the maps.
struct Services::Compiled {
  std::uint32_t id = 0;
  std::size_t ports = 0;
  std::vector<std::pair<EndpointRow, std::uint32_t>> rows;  ///< with the first number of each
  std::vector<Run> runs;
  Frontends frontends;
  SourceRanges ranges;
};

struct Services::Maps {
  maps::Services services;
  maps::SourceRanges source_ranges;
  maps::MappedArray<std::uint32_t> slots;
  maps::MappedArray<maps::backend> backends;
  maps::Mapped<maps::runtime> runtime;
  std::uint32_t services_capacity, source_ranges_capacity;

  /// How many backends, and slots, are the plugin's: the last ones.
  [[nodiscard]] std::uint32_t host_ports() const { return HOST_PORTS_OF(backends.capacity(), slots.capacity()); }
  /// Backends are the agent's up to here.
  [[nodiscard]] std::uint32_t backends_end() const { return backends.capacity() - host_ports(); }
  [[nodiscard]] bool has_host_ports() const {
    for (std::uint32_t number = backends_end(); number < backends.capacity(); number++)
      if (backends[number].service != 0) return true;
    return false;
  }
};

bool is_host_port(const maps::service& frontend) { return (frontend.id & HOST_PORT_SERVICE) != 0; }

/// What a former process has left in the maps, until the first update has gone through it.
struct Services::Adopted {
  Frontends frontends;
  SourceRanges ranges;
  std::multimap<std::pair<std::uint32_t, Address>, std::uint32_t> backends;  ///< by Service and address
  std::set<std::uint32_t> backend_numbers;
  std::set<std::pair<std::uint32_t, std::uint32_t>> runs;  ///< first, length
};

struct Services::State {
  Root root;
  Maps maps;
  Ranges ids, backends, slots;
  std::map<kube::ObjectId, Compiled> services;
  std::set<kube::ObjectId> dirty;
  std::optional<NodeView> node;
  std::optional<Adopted> adopted;
  std::set<kube::ObjectId> blocked;  ///< Services with a frontend that is a host port: looked at again each time

  Result<void> adopt();
  std::optional<std::uint32_t> adopted_id(const WantedService& wanted, const std::set<std::uint32_t>& used) const;
  std::optional<std::uint32_t> adopted_row(std::uint32_t id, const EndpointRow& row);
  std::optional<std::uint32_t> adopted_run(const WantedFrontend& frontend, bool inside, const Slots& content);
  Result<Compiled> number(const WantedService& wanted, const Compiled* old, const std::set<std::uint32_t>& used);
  Result<std::uint32_t> run_of(Compiled& fresh, const Compiled* old, const WantedFrontend& frontend, bool inside,
                               const Slots& rows);
  void give_back(const Compiled& gone, const Compiled* stays);
  [[nodiscard]] const Compiled* before(const kube::ObjectId& id) const {
    const auto found = services.find(id);
    return found != services.end() ? &found->second : nullptr;
  }
  Result<std::map<kube::ObjectId, Compiled>> compile_dirty(const Cluster& cluster, const NodeView& view,
                                                           Report& report);
  void write_backends(const Compiled& fresh, Report& report);
  Result<void> put_frontends(const kube::ObjectId& id, Compiled& fresh, Report& report);
  Result<bool> put_frontend(const kube::ObjectId& id, const maps::service_key& key, const maps::service& value,
                            Report& report);
  [[nodiscard]] Result<std::size_t> room() const;
  Result<void> note_absence();
  Result<void> erase_frontends(const Frontends& old, const SourceRanges& ranges, const Compiled& fresh, Report& report);
  void forget_backends(const Compiled& old, const Compiled& fresh);
  Result<void> forget_adopted(Report& report);
};

Services::Services(std::unique_ptr<State> state) : state_(std::move(state)) {}
Services::Services(Services&&) noexcept = default;
Services& Services::operator=(Services&&) noexcept = default;
Services::~Services() = default;

Result<Services> Services::open(const Root& root) {
  auto services = TRY(maps::open<maps::Services>(root.maps()));
  auto source_ranges = TRY(maps::open<maps::SourceRanges>(root.maps()));
  const auto slots_map = TRY(maps::open<maps::BackendSlots>(root.maps()));
  const auto backends_map = TRY(maps::open<maps::Backends>(root.maps()));
  auto slots = TRY(maps::MappedArray<std::uint32_t>::open(slots_map.fd(), TRY(slots_map.capacity())));
  auto backends = TRY(maps::MappedArray<maps::backend>::open(backends_map.fd(), TRY(backends_map.capacity())));
  auto runtime = TRY(maps::Mapped<maps::runtime>::open(TRY(maps::open<maps::Runtime>(root.maps())).fd()));
  const std::uint32_t services_capacity = TRY(services.capacity());
  const std::uint32_t ranges_capacity = TRY(source_ranges.capacity());
  const std::uint32_t kept = HOST_PORTS_OF(backends.capacity(), slots.capacity());
  const std::uint32_t slot_count = slots.capacity() - kept, backend_count = backends.capacity() - kept;
  // Number 0 is left out: a slot or a service without a number is none.
  auto state =
      std::make_unique<State>(State{root,
                                    {std::move(services), std::move(source_ranges), std::move(slots),
                                     std::move(backends), std::move(runtime), services_capacity, ranges_capacity},
                                    Ranges(1, HOST_PORT_SERVICE),
                                    Ranges(1, backend_count),
                                    Ranges(1, slot_count),
                                    {},
                                    {},
                                    {},
                                    {},
                                    {}});
  TRY(state->adopt());
  return Services(std::move(state));
}

Result<void> Services::State::adopt() {
  Adopted found;
  TRY(maps.services.each([&](const maps::service_key& key, const maps::service& value) {
    if (is_host_port(value)) return;
    found.frontends[key] = value;
    if (value.id != 0) (void)ids.take_at(value.id, 1);
    for (const maps::backend_table& table : {value.inside, value.outside})
      if (table.count != 0 && found.runs.insert({table.first, table.count}).second)
        (void)slots.take_at(table.first, table.count);
  }));
  TRY(maps.source_ranges.each([&](const maps::source_range_key& key, std::uint32_t) { found.ranges.insert(key); }));
  if (!found.frontends.empty()) {
    for (std::uint32_t number = 1; number < maps.backends_end(); number++) {
      const maps::backend& backend = maps.backends[number];
      if (backend.service == 0) continue;
      (void)backends.take_at(number, 1);
      found.backend_numbers.insert(number);
      found.backends.insert({{backend.service, Address(backend.addr)}, number});
    }
  }
  adopted = std::move(found);
  return {};
}

std::optional<std::uint32_t> Services::State::adopted_id(const WantedService& wanted,
                                                         const std::set<std::uint32_t>& used) const {
  if (!adopted) return std::nullopt;
  for (const WantedFrontend& frontend : wanted.frontends) {
    const auto found = adopted->frontends.find(frontend.key);
    if (found != adopted->frontends.end() && found->second.id != 0 && !used.contains(found->second.id))
      return found->second.id;
  }
  return std::nullopt;
}

/// The row that stands in the maps: the wanted ports, one behind the other.
std::optional<std::uint32_t> Services::State::adopted_row(std::uint32_t id, const EndpointRow& row) {
  if (!adopted) return std::nullopt;
  const auto [begin, end] = adopted->backends.equal_range({id, row.address});
  const auto fits = [&](std::uint32_t first) {
    for (std::uint32_t index = 0; index < row.ports.size(); index++) {
      const std::uint32_t number = first + index;
      if (!adopted->backend_numbers.contains(number)) return false;
      if (maps.backends[number].port.to_host() != row.ports[index].port) return false;
    }
    return true;
  };
  for (auto known = begin; known != end; ++known) {
    if (!fits(known->second)) continue;
    for (std::uint32_t index = 0; index < row.ports.size(); index++)
      adopted->backend_numbers.erase(known->second + index);
    return known->second;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> Services::State::adopted_run(const WantedFrontend& frontend, bool inside,
                                                          const Slots& content) {
  if (!adopted) return std::nullopt;
  const auto found = adopted->frontends.find(frontend.key);
  if (found == adopted->frontends.end()) return std::nullopt;
  const maps::backend_table& table = inside ? found->second.inside : found->second.outside;
  if (table.count != content.size() || !adopted->runs.contains({table.first, table.count})) return std::nullopt;
  for (std::uint32_t i = 0; i < table.count; i++)
    if (maps.slots[table.first + i] != content[i]) return std::nullopt;
  adopted->runs.erase({table.first, table.count});
  return table.first;
}

/// The run with the backends of `rows`: one that this Service has already where that is the same.
Result<std::uint32_t> Services::State::run_of(Compiled& fresh, const Compiled* old, const WantedFrontend& frontend,
                                              bool inside, const Slots& rows) {
  Slots content;
  content.reserve(rows.size());
  for (const std::uint32_t row : rows) content.push_back(fresh.rows[row].second + frontend.port_index);
  const auto equal = [&](const Run& run) { return run.content == content; };
  if (const auto known = std::ranges::find_if(fresh.runs, equal); known != fresh.runs.end()) return known->first;
  std::optional<std::uint32_t> first;
  if (old != nullptr)
    if (const auto known = std::ranges::find_if(old->runs, equal); known != old->runs.end()) first = known->first;
  if (!first) first = adopted_run(frontend, inside, content);
  if (!first) first = slots.take(static_cast<std::uint32_t>(content.size()));
  if (!first) return full("backend_slots", "backendSlots");
  fresh.runs.push_back({*first, std::move(content)});
  return *first;
}

Result<Services::Compiled> Services::State::number(const WantedService& wanted, const Compiled* old,
                                                   const std::set<std::uint32_t>& used) {
  Compiled fresh;
  fresh.ports = wanted.ports;
  auto undo = [&](Error error) {
    give_back(fresh, old);
    return error;
  };
  if (old != nullptr) {
    fresh.id = old->id;
  } else if (const auto id = adopted_id(wanted, used)) {
    fresh.id = *id;
  } else {
    fresh.id = ids.take(1).value_or(0);
  }
  for (const EndpointRow& row : wanted.rows) {
    std::optional<std::uint32_t> first;
    if (old != nullptr && old->ports == wanted.ports) {
      const auto known = std::ranges::find_if(old->rows, [&](const auto& one) { return row.continues(one.first); });
      if (known != old->rows.end()) first = known->second;
    }
    if (!first) first = adopted_row(fresh.id, row);
    if (!first) first = backends.take(static_cast<std::uint32_t>(row.ports.size()));
    if (!first) return undo(full("backends", "backends"));
    fresh.rows.emplace_back(row, *first);
  }
  for (const WantedFrontend& frontend : wanted.frontends) {
    maps::service value{};
    value.id = fresh.id;
    value.flags = frontend.flags;
    value.affinity_s = wanted.affinity_s;
    value.port_index = frontend.port_index;
    for (const bool inside : {true, false}) {
      const Slots& rows = inside ? frontend.inside : frontend.outside;
      if (rows.empty()) continue;
      const auto first = run_of(fresh, old, frontend, inside, rows);
      if (!first) return undo(first.error());
      (inside ? value.inside : value.outside) = {*first, static_cast<__u32>(rows.size())};
    }
    fresh.frontends[frontend.key] = value;
  }
  for (const Prefix& block : wanted.source_ranges) fresh.ranges.insert(maps::source_range_key_of(fresh.id, block));
  return fresh;
}

/// Gives back what `gone` has and `stays` has not.
void Services::State::give_back(const Compiled& gone, const Compiled* stays) {
  for (const Run& run : gone.runs) {
    const bool kept =
        stays != nullptr && std::ranges::any_of(stays->runs, [&](const Run& one) { return one.first == run.first; });
    if (!kept) slots.give_back(run.first, static_cast<std::uint32_t>(run.content.size()));
  }
  for (const auto& [row, first] : gone.rows) {
    const bool kept =
        stays != nullptr && std::ranges::any_of(stays->rows, [&](const auto& one) { return one.second == first; });
    if (!kept) backends.give_back(first, static_cast<std::uint32_t>(row.ports.size()));
  }
  if (stays == nullptr && gone.id != 0) ids.give_back(gone.id, 1);
}

/// All that is to be written, compiled and numbered. An error has changed nothing.
Result<std::map<kube::ObjectId, Services::Compiled>> Services::State::compile_dirty(const Cluster& cluster,
                                                                                    const NodeView& view,
                                                                                    Report& report) {
  std::map<kube::ObjectId, Compiled> fresh;
  std::set<std::uint32_t> used;
  for (const auto& [id, compiled] : services) used.insert(compiled.id);
  std::size_t frontends = 0, ranges = 0;
  for (const auto& [id, compiled] : services) {
    if (dirty.contains(id)) continue;
    frontends += compiled.frontends.size();
    ranges += compiled.ranges.size();
  }
  const auto refused = [&](Error error) -> Result<std::map<kube::ObjectId, Compiled>> {
    for (const auto& [id, compiled] : fresh) give_back(compiled, before(id));
    if (adopted) TRY(adopt());  // what is in force keeps its numbers, whoever asked for them
    return error;
  };
  for (const kube::ObjectId& id : dirty) {
    const auto* object = cluster.find(id);
    const auto* service = object != nullptr ? std::get_if<kube::Service>(&object->body) : nullptr;
    WantedService wanted;
    if (service != nullptr) wanted = compile(*object, *service, cluster.slices(id.ns, id.name), view);
    report.warnings.insert(report.warnings.end(), wanted.warnings.begin(), wanted.warnings.end());
    if (before(id) == nullptr && wanted.frontends.empty()) continue;
    auto numbered = number(wanted, before(id), used);
    if (!numbered) return refused(numbered.error());
    used.insert(numbered->id);
    frontends += numbered->frontends.size();
    ranges += numbered->ranges.size();
    fresh.emplace(id, std::move(*numbered));
  }
  if (frontends > TRY(room())) return refused(full("services", "services"));
  if (ranges > maps.source_ranges_capacity) return refused(full("source_ranges", "sourceRanges"));
  return fresh;
}

/// Backends, then slots: nothing points at them yet, but for what a backend's state is.
void Services::State::write_backends(const Compiled& fresh, Report& report) {
  for (const auto& [row, first] : fresh.rows) {
    for (std::uint32_t index = 0; index < row.ports.size(); index++) {
      maps::backend wanted{};
      wanted.addr = row.address.wire();
      wanted.port = maps::be16::from_host(row.ports[index].port);
      wanted.state = row.ports[index].state;
      wanted.flags = row.local ? BACKEND_LOCAL : 0;
      wanted.service = fresh.id;
      maps::backend& there = maps.backends[first + index];
      if (maps::same_bytes(there, wanted)) continue;
      there = wanted;
      report.written++;
    }
  }
  for (const Run& run : fresh.runs)
    for (std::uint32_t i = 0; i < run.content.size(); i++) maps.slots[run.first + i] = run.content[i];
}

/// How many frontends the agent may have in the map: the plugin has some, too.
Result<std::size_t> Services::State::room() const {
  std::size_t taken = 0;
  if (maps.has_host_ports())
    TRY(maps.services.each([&](const maps::service_key&, const maps::service& one) { taken += is_host_port(one); }));
  return maps.services_capacity - taken;
}

/// One that this Service has not had yet. False: it is a host port, which stays one.
Result<bool> Services::State::put_frontend(const kube::ObjectId& id, const maps::service_key& key,
                                           const maps::service& value, Report& report) {
  auto put = maps.services.insert(key, value);
  if (put.failed_with(EEXIST)) {
    const auto holder = TRY(maps.services.lookup(key));
    if (holder && is_host_port(*holder)) {
      report.warnings.push_back(id.text() + ": " + Address(key.addr).text() + " port " +
                                std::to_string(key.port.to_host()) + " is a pod's host port as long as that pod lives");
      return false;
    }
    put = maps.services.put(key, value);
  }
  TRY(std::move(put).context("write a frontend of " + id.text()));
  report.written++;
  return true;
}

Result<void> Services::State::put_frontends(const kube::ObjectId& id, Compiled& fresh, Report& report) {
  const Compiled* old = before(id);
  for (const auto& key : fresh.ranges) {
    const bool there = (old != nullptr && old->ranges.contains(key)) || (adopted && adopted->ranges.contains(key));
    if (there) continue;
    TRY(maps.source_ranges.put(key, 1).context("write a source range of " + id.text()));
    report.written++;
  }
  for (auto one = fresh.frontends.begin(); one != fresh.frontends.end();) {
    const auto& [key, value] = *one;
    const Frontends* known = old != nullptr ? &old->frontends : adopted ? &adopted->frontends : nullptr;
    const auto there = known != nullptr ? known->find(key) : Frontends::const_iterator();
    bool ours = true;
    if (known == nullptr || there == known->end()) {
      ours = TRY(put_frontend(id, key, value, report));
    } else if (!maps::same_bytes(there->second, value)) {
      TRY(maps.services.put(key, value).context("write a frontend of " + id.text()));
      report.written++;
    }
    if (!ours) blocked.insert(id);
    one = ours ? std::next(one) : fresh.frontends.erase(one);
  }
  return {};
}

/// What `old` had and `fresh` has not, but for an address that another Service has taken over.
Result<void> Services::State::erase_frontends(const Frontends& old, const SourceRanges& ranges, const Compiled& fresh,
                                              Report& report) {
  for (const auto& [key, value] : old) {
    if (fresh.frontends.contains(key)) continue;
    const auto there = TRY(maps.services.lookup(key));
    if (there && there->id == value.id) report.written += TRY(maps.services.erase(key)) ? 1 : 0;
  }
  for (const auto& key : ranges)
    if (!fresh.ranges.contains(key)) report.written += TRY(maps.source_ranges.erase(key)) ? 1 : 0;
  return {};
}

void Services::State::forget_backends(const Compiled& old, const Compiled& fresh) {
  for (const auto& [row, first] : old.rows) {
    if (std::ranges::any_of(fresh.rows, [&](const auto& one) { return one.second == first; })) continue;
    for (std::uint32_t number = first; number < first + row.ports.size(); number++) maps.backends[number] = {};
  }
}

std::uint32_t Services::number_of(const kube::ObjectId& id) const {
  const Compiled* known = state_->before(id);
  return known != nullptr ? known->id : 0;
}

/// What a former process has left and nobody wants.
Result<void> Services::State::forget_adopted(Report& report) {
  if (!adopted) return {};
  Compiled all;
  for (const auto& [id, compiled] : services) {
    all.frontends.insert(compiled.frontends.begin(), compiled.frontends.end());
    all.ranges.insert(compiled.ranges.begin(), compiled.ranges.end());
  }
  TRY(erase_frontends(adopted->frontends, adopted->ranges, all, report));
  for (const std::uint32_t number : adopted->backend_numbers) {
    maps.backends[number] = {};
    backends.give_back(number, 1);
  }
  for (const auto& [first, length] : adopted->runs) slots.give_back(first, length);
  adopted.reset();
  return {};
}

/// Programs need not look for Services any more, unless the plugin has host ports.
Result<void> Services::State::note_absence() {
  const auto lock = TRY(program::Lock::host_ports(root));
  if (!maps.has_host_ports()) __atomic_store_n(&maps.runtime->has_services, 0, __ATOMIC_SEQ_CST);
  return {};
}

Result<Report> Services::update(const Cluster& cluster, const std::vector<kube::ObjectId>& changed,
                                const NodeView& node) {
  State& state = *state_;
  if (!state.node || !(*state.node == node)) {
    cluster.each<kube::Service>([&](const kube::Object& object, const auto&) { state.dirty.insert(object.id); });
    for (const auto& [id, compiled] : state.services) state.dirty.insert(id);
  }
  for (const kube::ObjectId& id : changed)
    if (id.kind == "Service") state.dirty.insert(id);
  state.dirty.merge(state.blocked);
  state.blocked.clear();
  Report report;
  if (state.dirty.empty() && !state.adopted) return report;

  auto fresh = TRY(state.compile_dirty(cluster, node, report));
  report.services = fresh.size();
  for (const auto& [id, compiled] : fresh) state.write_backends(compiled, report);
  for (auto& [id, compiled] : fresh) TRY(state.put_frontends(id, compiled, report));
  if (!fresh.empty()) __atomic_store_n(&state.maps.runtime->has_services, 1, __ATOMIC_SEQ_CST);
  std::vector<Compiled> gone;
  for (auto& [id, compiled] : fresh) {
    if (const Compiled* old = state.before(id)) {
      TRY(state.erase_frontends(old->frontends, old->ranges, compiled, report));
      state.forget_backends(*old, compiled);
      gone.push_back(*old);
    } else {
      gone.emplace_back();
    }
  }
  std::size_t index = 0;
  for (auto& [id, compiled] : fresh) {
    const bool empty = compiled.frontends.empty() && !state.blocked.contains(id);
    state.give_back(gone[index++], empty ? nullptr : &compiled);
    if (empty)
      state.services.erase(id);
    else
      state.services.insert_or_assign(id, std::move(compiled));
  }
  TRY(state.forget_adopted(report));
  if (state.services.empty()) TRY(state.note_absence());
  state.dirty.clear();
  state.node = node;
  if (report.written > 0) maps::advance_epoch(*state.maps.runtime);
  return report;
}

}  // namespace sluice::loader::state::service
