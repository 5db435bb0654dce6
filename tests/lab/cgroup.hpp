/// Control groups of the version 2 hierarchy: what a node's and a pod's processes are kept together by.
#pragma once

#include "maps/result.hpp"
#include "tests/lab/paths.hpp"

namespace sluice::lab::cgroup {

/// Where the hierarchy is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified beside version 1's. ENOENT: nowhere.
Result<Path> hierarchy();

/// Makes the group and those above it; returns its path. Making what is there is no error.
Result<Path> create(const Path& group);

/// Kills all processes in the group and below, waits until they are gone, and removes the groups. The calling process
/// goes to the root of the hierarchy first. Succeeds when there is no such group. EBUSY: processes do not die.
Result<void> destroy(const Path& group);

}  // namespace sluice::lab::cgroup
