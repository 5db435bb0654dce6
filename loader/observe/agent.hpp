/// What the agent has said of its work last, running now or not.
#pragma once

#include <string>
#include <vector>

#include "loader/root.hpp"
#include "maps/result.hpp"

namespace sluice::loader::observe {

/// Something that could not be done with an object.
struct AgentTrouble {
  std::string where;  ///< the part of its work ("nodes"), or the file of objects
  std::string what;   ///< a sentence
};

/// By agent.json (loader/agent/status.hpp). Empty: nothing is wrong, or no agent has run. EBADMSG: it is no JSON.
Result<std::vector<AgentTrouble>> agent_troubles(const Root& root);

}  // namespace sluice::loader::observe
