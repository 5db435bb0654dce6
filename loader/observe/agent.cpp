#include "loader/observe/agent.hpp"

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>

namespace sluice::loader::observe {

Result<std::vector<AgentTrouble>> agent_troubles(const Root& root) {
  std::vector<AgentTrouble> troubles;
  const auto path = root.run() / "agent.json";
  std::ifstream file(path);
  if (!file) return troubles;
  const auto status = nlohmann::json::parse(file, nullptr, false);
  if (!status.is_object()) return refuse(EBADMSG, path.string() + " is no status of an agent: restart sluiced");
  const auto list = [](const nlohmann::json& object, const char* key) {
    return object.value(key, nlohmann::json::array());
  };
  for (const auto& problem : list(status, "problems"))
    troubles.push_back({problem.value("file", ""), problem.value("message", "")});
  for (const auto& part : list(status, "parts")) {
    const std::string name = part.value("name", ""), failure = part.value("failure", "");
    if (!failure.empty()) troubles.push_back({name, failure});
    for (const auto& warning : list(part, "warnings")) troubles.push_back({name, warning.get<std::string>()});
  }
  return troubles;
}

}  // namespace sluice::loader::observe
