/// A node: a network namespace with an uplink to the underlay, and all that a machine has of its own: a root folder
/// with a bpffs and the configuration, and a control group.
#pragma once

#include <string>

#include "maps/result.hpp"
#include "tests/lab/record.hpp"

namespace sluice::lab {

inline constexpr const char* kUplink = "eth0";

/// The underlay: a network namespace with the bridge that all uplinks hang on. Making it again is no error.
Result<void> create_underlay(const Paths& paths);

/// Makes the node; it reaches the nodes that are ready, and they reach it. Undoes itself on failure.
Result<void> create_node(const Paths& paths, const NodeRecord& node);

/// Ends the node's processes and removes it, a half-made one too. Its pods must be gone.
Result<void> destroy_node(const Paths& paths, const std::string& name);

/// Unmounts all that is mounted in `folder` and below.
Result<void> unmount_below(const Path& folder);

}  // namespace sluice::lab
