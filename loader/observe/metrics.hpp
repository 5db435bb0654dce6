/// What the datapath has counted since it was loaded, summed over all CPUs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "loader/root.hpp"
#include "maps/metrics.h"
#include "maps/result.hpp"

namespace sluice::loader::observe {

/// The packets of one hook that met one fate.
struct Traffic {
  std::uint32_t reason = maps::DROP_NONE;  ///< enum drop_reason; DROP_NONE: forwarded
  std::uint32_t hook = 0;                  ///< enum hook
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;  ///< of the whole frames
};

struct Counter {
  std::string_view name;
  std::string_view text;
  std::uint64_t value = 0;
};

/// Every known hook and reason, also where nothing was counted, and what newer programs count besides. By reason, then
/// hook. ENOENT: no datapath is loaded.
Result<std::vector<Traffic>> traffic(const Root& root);
/// Every counter of maps/metrics.h.
Result<std::vector<Counter>> counters(const Root& root);

/// How full a map is.
struct MapLevel {
  std::string name;
  std::uint64_t entries = 0;
  std::uint32_t capacity = 0;
};
/// The maps whose entries come and go; counts every entry.
Result<std::vector<MapLevel>> map_levels(const Root& root);

/// All of this in Prometheus' text format (version 0.0.4).
Result<std::string> prometheus_text(const Root& root);

}  // namespace sluice::loader::observe
