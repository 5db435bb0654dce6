/// Host ports are the plugin's work; the agent keeps them at the addresses that the node has by now.
#pragma once

#include "loader/root.hpp"
#include "maps/result.hpp"

namespace sluice::loader::agent {

/// Opens the host ports of each attachment that is complete where they are not, as on an address that the node was
/// given later. The calling thread is in the node's network namespace.
Result<void> renew_host_ports(const Root& root);

}  // namespace sluice::loader::agent
