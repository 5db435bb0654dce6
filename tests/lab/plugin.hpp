/// Runs a CNI plugin as a container runtime does (CNI spec 1.1.0, "CNI Protocol").
#pragma once

#include <vector>

#include "maps/address.hpp"
#include "maps/result.hpp"
#include "tests/lab/record.hpp"

namespace sluice::lab {

/// ADD for the pod's interface eth0, inside its node. Returns the addresses that the plugin gave. An error has the
/// plugin's own words (its "msg" and "details").
Result<std::vector<Address>> plugin_add(const Paths& paths, const Path& plugin, const PodRecord& pod);

/// DEL. Succeeds when there is nothing to delete.
Result<void> plugin_del(const Paths& paths, const Path& plugin, const PodRecord& pod);

}  // namespace sluice::lab
