#include "loader/agent/objects.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "loader/agent/whole_file.hpp"
#include "loader/kube/folder_source.hpp"

namespace sluice::loader::agent {
namespace {

using std::chrono::system_clock;

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

Result<Objects> Objects::open(const Root& root) {
  Objects objects(root, TRY(kube::FolderSource::open(root.objects())));
  // In this order: policy says behind which node an address is, and a Service must not lead to a pod that is not
  // guarded.
  objects.works_.push_back({.part = nodes_part(root)});
  objects.works_.push_back({.part = policies_part(root)});
  objects.works_.push_back({.part = services_part(root)});
  return objects;
}

void Objects::maps_are_new() {
  for (Work& work : works_) work.part->maps_are_new();
}

void Objects::pods_changed(const NodeConfig& config) {
  for (Work& work : works_) work.part->pods_changed();
  apply(config);
}

void Objects::write_down() {
  for (Work& work : works_) work.part->write_down();
}

void Objects::take(const NodeConfig& config) {
  auto batch = source_->take();
  if (!batch) {
    spdlog::error("msg=\"objects: {}\"", batch.error().message);
    return;
  }
  if (batch->problems_changed) note_problems();
  if (batch->changes.empty() && started_) {
    if (batch->problems_changed) write_status();
    return;
  }
  started_ = true;
  const auto changed = cluster_.take(*batch);
  for (Work& work : works_) work.pending.insert(work.pending.end(), changed.begin(), changed.end());
  apply(config);
}

/// Logs those that are new.
void Objects::note_problems() {
  auto now = source_->problems();
  for (const kube::Problem& problem : now)
    if (!std::binary_search(problems_.begin(), problems_.end(), problem))
      spdlog::warn("msg=\"objects: {}: {}\" file={}", problem.place, problem.message, problem.place);
  if (now.empty()) spdlog::info("msg=\"objects: nothing is wrong any more\"");
  problems_ = std::move(now);
}

void Objects::apply(const NodeConfig& config) {
  for (Work& work : works_) apply(work, config);
  write_status();
}

void Objects::apply(Work& work, const NodeConfig& config) const {
  const auto begin = std::chrono::steady_clock::now();
  const auto done = work.part->apply(cluster_, work.pending, config);
  if (!done) {
    // Once each, however long it lasts.
    std::sort(work.pending.begin(), work.pending.end());
    work.pending.erase(std::unique(work.pending.begin(), work.pending.end()), work.pending.end());
    if (work.failure == done.error().message) return;
    work.failure = done.error().message;
    spdlog::error("msg=\"{}: {}; what was in force stays\" part={}", work.part->name(), work.failure,
                  work.part->name());
    return;
  }
  if (!work.failure.empty())
    spdlog::info("msg=\"{} can be applied again\" part={}", work.part->name(), work.part->name());
  work.failure.clear();
  if (work.pending.empty() && done->written == 0 && work.applied != system_clock::time_point()) return;
  work.pending.clear();
  work.applied = system_clock::now();
  work.took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
  if (done->compiled > 0)
    spdlog::info("msg=\"{} in force\" part={} compiled={} written={} us={}", work.part->name(), work.part->name(),
                 done->compiled, done->written, work.took.count());
}

void Objects::write_status() const {
  using nlohmann::json;
  json problems = json::array();
  for (const kube::Problem& problem : problems_)
    problems.push_back({{"file", problem.place}, {"message", problem.message}});
  json parts = json::array();
  for (const Work& work : works_)
    parts.push_back({{"name", work.part->name()},
                     {"failure", work.failure},
                     {"applied", text_of(work.applied)},
                     {"microseconds", work.took.count()},
                     {"pending", work.pending.size()}});
  const json status{{"objects", cluster_.counts()}, {"problems", problems}, {"parts", parts}};
  write_whole_file(root_.run() / "agent.json", status.dump(2) + '\n');
}

}  // namespace sluice::loader::agent
