/// A pod: a network namespace that the CNI plugin attaches to its node.
#pragma once

#include "maps/result.hpp"
#include "tests/lab/record.hpp"

namespace sluice::lab {

/// Makes and attaches the pod; returns its record with the addresses that it got. Undoes itself on failure.
Result<PodRecord> create_pod(const Paths& paths, const Path& plugin, PodRecord pod);

/// Ends the pod's processes, detaches it by the plugin's DEL and removes it, a half-made one too. Where DEL fails the
/// pod stays, without processes, and can be removed again.
Result<void> destroy_pod(const Paths& paths, const Path& plugin, const PodRecord& pod);

}  // namespace sluice::lab
