/// The elements of each map as they stand there, in words. A new map gets a line in map_dumps().
#pragma once

#include <string_view>
#include <vector>

#include "cli/listing.hpp"
#include "loader/root.hpp"
#include "maps/result.hpp"

namespace sluice::cli {

struct MapDump {
  std::string_view name;
  Result<Listing> (*dump)(const loader::Root& root);
};

const std::vector<MapDump>& map_dumps();

}  // namespace sluice::cli
