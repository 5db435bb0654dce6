#include "loader/agent/status.hpp"

#include <ctime>
#include <nlohmann/json.hpp>

#include "loader/observe/metrics.hpp"
#include "loader/observe/prometheus.hpp"

namespace sluice::loader::agent {
namespace {

using nlohmann::json;
using std::chrono::system_clock;

/// The loop is stuck when it has not gone round for so long.
constexpr auto kPatience = 3 * StatusBoard::kRound;

/// RFC 3339, in UTC; empty for none.
std::string text_of(system_clock::time_point time) {
  if (time == system_clock::time_point()) return {};
  const std::time_t seconds = system_clock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[sizeof "2026-01-01T00:00:00Z"];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace

std::string json_text(const Status& status) {
  json problems = json::array();
  for (const kube::Problem& problem : status.problems)
    problems.push_back({{"file", problem.place}, {"message", problem.message}});
  json parts = json::array();
  for (const PartStatus& part : status.parts)
    parts.push_back({{"name", part.name},
                     {"failure", part.failure},
                     {"applied", text_of(part.applied)},
                     {"microseconds", part.took.count()},
                     {"warnings", part.warnings},
                     {"pending", part.pending}});
  return json{{"objects", status.objects}, {"problems", problems}, {"parts", parts}}.dump(2) + "\n";
}

std::string prometheus_text(const Status& status) {
  using observe::prometheus::label;
  std::string text;
  const auto each_part = [&](const char* name, const char* help, auto value) {
    observe::prometheus::write(text, name, "gauge", help, [&](auto sample) {
      for (const PartStatus& part : status.parts) sample(label("part", part.name), value(part));
    });
  };
  observe::prometheus::write(text, "sluice_agent_objects", "gauge", "Objects of the cluster in force",
                             [&](auto sample) {
                               for (const auto& [kind, count] : status.objects) sample(label("kind", kind), count);
                             });
  observe::prometheus::write(text, "sluice_agent_problems", "gauge",
                             "Files of objects with something wrong in them; the last good objects stay in force",
                             [&](auto sample) { sample("", status.problems.size()); });
  each_part("sluice_agent_part_failed", "1: what changed last could not be applied; what was in force stays",
            [](const PartStatus& part) { return std::uint64_t{!part.failure.empty()}; });
  each_part("sluice_agent_part_pending", "Changes of objects that wait to be applied",
            [](const PartStatus& part) { return std::uint64_t{part.pending}; });
  each_part("sluice_agent_part_warnings", "What of the last changes could not be done",
            [](const PartStatus& part) { return std::uint64_t{part.warnings.size()}; });
  each_part("sluice_agent_part_applied_timestamp_seconds", "When changes were applied last; 0: not yet",
            [](const PartStatus& part) { return static_cast<std::uint64_t>(system_clock::to_time_t(part.applied)); });
  each_part("sluice_agent_part_apply_microseconds", "What applying the last changes took",
            [](const PartStatus& part) { return static_cast<std::uint64_t>(part.took.count()); });
  return text;
}

void StatusBoard::set(Status status) {
  const std::lock_guard guard(mutex_);
  status_ = std::move(status);
  applied_ = true;
}

void StatusBoard::set_datapath(std::string failure) {
  const std::lock_guard guard(mutex_);
  datapath_failure_ = std::move(failure);
}

void StatusBoard::beat() {
  const std::lock_guard guard(mutex_);
  beat_ = std::chrono::steady_clock::now();
}

Status StatusBoard::status() const {
  const std::lock_guard guard(mutex_);
  return status_;
}

HttpAnswer StatusBoard::health() const {
  const std::lock_guard guard(mutex_);
  json reasons = json::array(), warnings = json::array();
  if (!datapath_failure_.empty()) reasons.push_back(datapath_failure_);
  if (!applied_) reasons.push_back("the objects were not looked at yet");
  if (std::chrono::steady_clock::now() - beat_ > kPatience) reasons.push_back("the agent hangs");
  for (const PartStatus& part : status_.parts) {
    if (!part.failure.empty()) warnings.push_back(part.name + ": " + part.failure);
    for (const std::string& warning : part.warnings) warnings.push_back(part.name + ": " + warning);
  }
  for (const kube::Problem& problem : status_.problems) warnings.push_back(problem.place + ": " + problem.message);
  const bool healthy = reasons.empty();
  return {.status = healthy ? 200U : 503U,
          .type = "application/json",
          .body = json{{"healthy", healthy}, {"reasons", reasons}, {"warnings", warnings}}.dump(2) + "\n"};
}

HttpAnswer metrics_page(const Root& root, const StatusBoard& board) {
  auto datapath = observe::prometheus_text(root);
  if (!datapath) return {.status = 503, .body = datapath.error().message + "\n"};
  return {.body = *datapath + prometheus_text(board.status())};
}

}  // namespace sluice::loader::agent
