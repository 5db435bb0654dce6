/// sluiced on the nodes of a lab, in their control groups and so gone with them.
#pragma once

#include <string>

#include "maps/result.hpp"
#include "tests/lab/paths.hpp"

namespace sluice::lab {

/// Runs `agent` on the node; returns once it has taken its first look at the objects. Its log is paths.agent_log().
/// EIO: it ended; the message has the last line of its log. ETIMEDOUT: it is not ready after half a minute.
Result<void> start_agent(const Paths& paths, const Path& agent, const std::string& node);

}  // namespace sluice::lab
