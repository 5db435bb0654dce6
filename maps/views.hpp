/// The node's maps by name. `open<Flows>(root.maps())` opens one.
#pragma once

#include <array>
#include <filesystem>

#include "maps/drop_reason.h"
#include "maps/endpoint.h"
#include "maps/flow.h"
#include "maps/fragment.h"
#include "maps/map.hpp"
#include "maps/metrics.h"
#include "maps/observer.h"
#include "maps/runtime.h"

namespace sluice::maps {

struct Flows : Map<flow_key, flow_entry> {
  using Map::Map;
  static constexpr const char* kName = "flows";
};

struct Endpoints : Map<addr, endpoint> {
  using Map::Map;
  static constexpr const char* kName = "endpoints";
};

struct Fragments : Map<fragment_key, fragment_ports> {
  using Map::Map;
  static constexpr const char* kName = "fragments";
};

struct Metrics : PerCpuArray<metric> {
  using PerCpuArray::PerCpuArray;
  static constexpr const char* kName = "metrics";
};

struct Counters : PerCpuArray<std::uint64_t> {
  using PerCpuArray::PerCpuArray;
  static constexpr const char* kName = "counters";
};

/// Owners of slots write them through Mapped<FilterSlots>: the programs count in them.
struct ObserverFilters : Map<std::uint32_t, observer_filter> {
  using Map::Map;
  static constexpr const char* kName = "observer_filters";
};

using FilterSlots = std::array<observer_filter, OBSERVER_SLOTS>;

/// Array of ring buffers: a value is written as a ring buffer's descriptor and read as its id.
struct Observers : Map<std::uint32_t, std::uint32_t> {
  using Map::Map;
  static constexpr const char* kName = "observers";
};

/// One element, read and written by Mapped<runtime>.
struct Runtime : Map<std::uint32_t, runtime> {
  using Map::Map;
  static constexpr const char* kName = "runtime";
};

/// The map `View::kName` that is pinned in `folder` (loader::Root::maps()). ENOENT: there is none. EPROTO: it has
/// another layout.
template <typename View>
Result<View> open(const std::filesystem::path& folder) {
  using Value = typename View::value_type;
  return View(TRY(raw::open_pin(folder / View::kName, sizeof(typename View::key_type), sizeof(Value))));
}

}  // namespace sluice::maps
