#include <spdlog/spdlog.h>

#include <future>
#include <optional>
#include <set>
#include <string>

#include "loader/agent/part.hpp"
#include "loader/agent/whole_file.hpp"
#include "loader/state/service/record.hpp"
#include "loader/state/service/services.hpp"
#include "loader/state/service/stale_sockets.hpp"

namespace sluice::loader::agent {
namespace {

/// Its Node object says where the node is; without one, its configuration.
state::service::NodeView view_of(const state::Cluster& cluster, const NodeConfig& config) {
  state::service::NodeView view;
  view.here.node = config.name();
  view.addresses = config.node_addresses;
  view.algorithm = config.algorithm;
  const kube::Object* object = cluster.find({"Node", "", view.here.node});
  const auto* node = object != nullptr ? std::get_if<kube::Node>(&object->body) : nullptr;
  if (node == nullptr) return view;
  view.here.zone = node->zone;
  if (!node->internal_addresses.empty()) view.addresses = node->internal_addresses;
  view.addresses.insert(view.addresses.end(), node->external_addresses.begin(), node->external_addresses.end());
  return view;
}

class ServicesPart : public Part {
 public:
  explicit ServicesPart(Root root) : root_(std::move(root)) {}

  [[nodiscard]] const char* name() const override { return "services"; }

  Result<Applied> apply(const state::Cluster& cluster, const std::vector<kube::ObjectId>& changed,
                        const NodeConfig& config) override {
    const bool first = !services_;
    if (first) services_ = TRY(state::service::Services::open(root_));
    const auto view = view_of(cluster, config);
    const auto report = TRY(services_->update(cluster, changed, view));
    warn(report.warnings);
    note(cluster, changed, view.here, first);
    if (config.socket_balancing && (first || report.written > 0)) end_stale_sockets();
    return Applied{report.services, report.written};
  }

  void maps_are_new() override { services_.reset(); }
  void write_down() override {
    if (!services_ || !words_.changed()) return;
    // Not here: with ten thousand Services it is megabytes. One at a time.
    writing_ = std::async(std::launch::async, write_whole_file, state::service::record_file(root_), words_.text());
  }

 private:
  /// Each once, however often its Service is looked at.
  void warn(const std::vector<std::string>& warnings) {
    for (const std::string& warning : warnings)
      if (warned_.insert(warning).second) spdlog::warn("msg=\"{}\"", warning);
  }

  /// What numbers stand for; all of them are others where `all`.
  void note(const state::Cluster& cluster, const std::vector<kube::ObjectId>& changed, const state::service::Here& here,
            bool all) {
    words_.set_here(here);
    if (all) {
      words_.clear();
      cluster.each<kube::Service>([&](const kube::Object& object, const kube::Service& service) {
        words_.put(object.id, &service, services_->number_of(object.id));
      });
      return;
    }
    for (const kube::ObjectId& id : changed) {
      if (id.kind != "Service") continue;
      const kube::Object* object = cluster.find(id);
      words_.put(id, object != nullptr ? std::get_if<kube::Service>(&object->body) : nullptr, services_->number_of(id));
    }
  }

  /// That it cannot is no reason to keep Services from being in force; it is logged once.
  void end_stale_sockets() {
    const auto ended = state::service::end_stale_sockets(root_);
    if (ended && *ended > 0)
      spdlog::info("msg=\"UDP sockets were ended whose endpoint no longer serves\" sockets={}", *ended);
    if (!ended && !told_) spdlog::warn("msg=\"UDP sockets may wait for a lost endpoint: {}\"", ended.error().message);
    told_ = !ended;
  }

  Root root_;
  bool told_ = false;
  std::optional<state::service::Services> services_;
  state::service::RecordText words_;
  std::set<std::string> warned_;
  std::future<void> writing_;
};

}  // namespace

std::unique_ptr<Part> services_part(const Root& root) { return std::make_unique<ServicesPart>(root); }

}  // namespace sluice::loader::agent
