#include "loader/agent/objects.hpp"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "loader/kube/folder_source.hpp"

namespace sluice::loader::agent {
namespace {

std::string node_name(const NodeConfig& config) {
  if (!config.node_name.empty()) return config.node_name;
  std::array<char, 256> host{};
  return gethostname(host.data(), host.size() - 1) == 0 ? host.data() : "";
}

/// Its Node object says where the node is; without one, its configuration.
state::service::NodeView view_of(const state::Cluster& cluster, const NodeConfig& config) {
  state::service::NodeView view;
  view.here.node = node_name(config);
  view.addresses = config.node_addresses;
  const kube::Object* object = cluster.find({"Node", "", view.here.node});
  const auto* node = object != nullptr ? std::get_if<kube::Node>(&object->body) : nullptr;
  if (node == nullptr) return view;
  view.here.zone = node->zone;
  if (!node->internal_addresses.empty()) view.addresses = node->internal_addresses;
  view.addresses.insert(view.addresses.end(), node->external_addresses.begin(), node->external_addresses.end());
  return view;
}

}  // namespace

Result<Objects> Objects::open(const Root& root) { return Objects(root, TRY(kube::FolderSource::open(root.objects()))); }

Result<state::service::Report> Objects::apply_services(const state::service::NodeView& node) {
  if (!services_) services_ = TRY(state::service::Services::open(root_));
  return services_->update(cluster_, pending_, node);
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
  for (kube::ObjectId& id : cluster_.take(*batch)) pending_.push_back(std::move(id));
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
  const auto begin = std::chrono::steady_clock::now();
  const auto report = apply_services(view_of(cluster_, config));
  took_ = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
  if (report) {
    if (report->services > 0)
      spdlog::info("msg=\"services in force\" services={} written={} us={}", report->services, report->written,
                   took_.count());
    pending_.clear();
    failure_.clear();
  } else if (failure_ != report.error().message) {
    failure_ = report.error().message;
    spdlog::error("msg=\"{}\"", failure_);
  }
  write_status();
}

/// For people and bpfctl; replaced whole. That it cannot be written stops nothing.
void Objects::write_status() const {
  nlohmann::json problems = nlohmann::json::array();
  for (const kube::Problem& problem : problems_)
    problems.push_back({{"file", problem.place}, {"message", problem.message}});
  nlohmann::json status{{"objects", cluster_.size()},
                        {"problems", problems},
                        {"failure", failure_},
                        {"applyMicroseconds", took_.count()}};
  const std::filesystem::path file = root_.run() / "agent.json", next = root_.run() / "agent.json.new";
  std::ofstream(next) << status.dump(2) << '\n';
  std::error_code error;
  std::filesystem::rename(next, file, error);
  if (error) spdlog::warn("msg=\"write {}: {}\"", file.string(), error.message());
}

}  // namespace sluice::loader::agent
