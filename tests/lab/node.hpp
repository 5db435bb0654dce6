/// A node: a network namespace with an uplink to the underlay, and all that a machine has of its own: a root folder
/// with a bpffs and the configuration, and a control group.
#pragma once

#include <string>

#include "maps/result.hpp"
#include "tests/lab/record.hpp"

namespace sluice::lab {

inline constexpr const char* kUplink = "eth0";

/// The world's addresses: of a client, a server and a router out there (RFC 5737, RFC 3849).
inline constexpr const char* kWorldV4 = "198.51.100.1";
inline constexpr const char* kWorldV6 = "2001:db8:100::1";

/// The underlay: a network namespace with the bridge that all uplinks hang on. It is the world, too: nodes have their
/// default routes to it, and it knows the way to nodes and none to pods. Making it again is no error.
Result<void> create_underlay(const Paths& paths);

/// Makes the node; it reaches the nodes that are ready, and they reach it. Undoes itself on failure.
Result<void> create_node(const Paths& paths, const NodeRecord& node);

/// Ends the node's processes and removes it, a half-made one too. Its pods must be gone.
Result<void> destroy_node(const Paths& paths, const std::string& name);

/// Unmounts all that is mounted in `folder` and below.
Result<void> unmount_below(const Path& folder);

}  // namespace sluice::lab
