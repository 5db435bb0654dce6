#include "loader/agent/objects.hpp"

#include <malloc.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>

#include "loader/agent/whole_file.hpp"
#include "loader/kube/folder_source.hpp"

namespace sluice::loader::agent {
namespace {

/// After so many changes at once what their texts have taken goes back to the system; after few it is needed again
/// soon.
constexpr std::size_t kMany = 1000;

}  // namespace

Result<Objects> Objects::open(const Root& root, HttpServers& servers, StatusBoard& board) {
  Objects objects(root, TRY(kube::FolderSource::open(root.objects(), root.state() / "objects")), board);
  // In this order: policy says behind which node an address is, and a Service must not lead to a pod that is not
  // guarded.
  objects.works_.push_back({.part = nodes_part(root)});
  objects.works_.push_back({.part = policies_part(root)});
  objects.works_.push_back({.part = services_part(root)});
  objects.works_.push_back({.part = health_checks_part(servers)});
  objects.works_.push_back({.part = bgp_part(root)});
  return objects;
}

void Objects::maps_are_new() {
  for (Work& work : works_) work.part->maps_are_new();
}

void Objects::look_again() {
  for (Work& work : works_) work.part->look_again();
}

void Objects::pods_changed(const NodeConfig& config) {
  for (Work& work : works_) work.part->pods_changed();
  apply(config);
}

void Objects::write_down() {
  for (Work& work : works_) work.part->write_down();
  source_->write_down();
  if (many_changed_) malloc_trim(0);
  many_changed_ = false;
}

void Objects::take(const NodeConfig& config) {
  auto batch = source_->take();
  if (!batch) {
    spdlog::error("msg=\"objects: {}\"", batch.error().message);
    return;
  }
  if (batch->problems_changed) note_problems();
  if (batch->changes.empty() && started_) {
    if (batch->problems_changed) note_status();
    return;
  }
  started_ = true;
  const auto changed = cluster_.take(*batch);
  many_changed_ |= changed.size() > kMany;
  for (Work& work : works_) {
    work.pending.insert(work.pending.end(), changed.begin(), changed.end());
    apply(work, config);
  }
  note_status();
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
  note_status();
}

void Objects::apply(Work& work, const NodeConfig& config) const {
  const auto begin = std::chrono::steady_clock::now();
  const auto done = work.part->apply(cluster_, work.pending, config);
  if (!done) {
    // Once each, however long it lasts.
    std::sort(work.pending.begin(), work.pending.end());
    work.pending.erase(std::unique(work.pending.begin(), work.pending.end()), work.pending.end());
    if (work.status.failure == done.error().message) return;
    work.status.failure = done.error().message;
    spdlog::error("msg=\"{}: {}; what was in force stays\" part={}", work.part->name(), work.status.failure,
                  work.part->name());
    return;
  }
  if (!work.status.failure.empty())
    spdlog::info("msg=\"{} can be applied again\" part={}", work.part->name(), work.part->name());
  work.status.failure.clear();
  for (const std::string& warning : done->warnings)
    if (std::ranges::find(work.status.warnings, warning) == work.status.warnings.end())
      spdlog::warn("msg=\"{}\" part={}", warning, work.part->name());
  work.status.warnings = done->warnings;
  if (work.pending.empty() && done->written == 0 && work.status.applied != std::chrono::system_clock::time_point())
    return;
  work.pending = {};  // not `clear`: there may have been very many
  work.status.applied = std::chrono::system_clock::now();
  work.status.took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
  if (done->compiled > 0)
    spdlog::info("msg=\"{} in force\" part={} compiled={} written={} us={}", work.part->name(), work.part->name(),
                 done->compiled, done->written, work.status.took.count());
}

void Objects::note_status() const {
  Status status{cluster_.counts(), problems_, {}};
  for (const Work& work : works_) {
    status.parts.push_back(work.status);
    status.parts.back().name = work.part->name();
    status.parts.back().pending = work.pending.size();
  }
  write_whole_file(root_.run() / "agent.json", json_text(status));
  board_.set(std::move(status));
}

}  // namespace sluice::loader::agent
