/// How full the maps are: a part of `bpfctl metrics` and of `bpfctl status`.
#pragma once

#include "cli/listing.hpp"
#include "loader/root.hpp"
#include "maps/result.hpp"

namespace sluice::cli {

Result<Listing> map_levels(const loader::Root& root);

}  // namespace sluice::cli
