#include <optional>
#include <string>

#include "loader/agent/part.hpp"
#include "loader/state/service/services.hpp"

namespace sluice::loader::agent {
namespace {

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

class ServicesPart : public Part {
 public:
  explicit ServicesPart(Root root) : root_(std::move(root)) {}

  [[nodiscard]] const char* name() const override { return "services"; }

  Result<Applied> apply(const state::Cluster& cluster, const std::vector<kube::ObjectId>& changed,
                        const NodeConfig& config) override {
    if (!services_) services_ = TRY(state::service::Services::open(root_));
    const auto report = TRY(services_->update(cluster, changed, view_of(cluster, config)));
    return Applied{report.services, report.written};
  }

  void maps_are_new() override { services_.reset(); }

 private:
  Root root_;
  std::optional<state::service::Services> services_;
};

}  // namespace

std::unique_ptr<Part> services_part(const Root& root) { return std::make_unique<ServicesPart>(root); }

}  // namespace sluice::loader::agent
