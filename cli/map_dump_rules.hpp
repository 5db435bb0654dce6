/// The part of map_dumps() that is about what the agent writes: services, policies, addresses.
#pragma once

#include <vector>

#include "cli/map_dump.hpp"

namespace sluice::cli {

std::vector<MapDump> rule_map_dumps();

}  // namespace sluice::cli
