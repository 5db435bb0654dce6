/// The service: loads or upgrades the datapath at its start, then watches over it until it is told to stop.
#pragma once

#include "loader/root.hpp"
#include "maps/result.hpp"

namespace sluice::loader::agent {

/// Blocks until SIGTERM or SIGINT, which end it with success and leave the datapath in force. SIGHUP reads the
/// configuration again; a wrong one changes nothing. Speaks to systemd where it was started by it (readiness,
/// watchdog).
Result<void> run(const Root& root);

}  // namespace sluice::loader::agent
