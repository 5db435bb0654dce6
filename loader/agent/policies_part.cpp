#include <spdlog/spdlog.h>

#include <algorithm>
#include <future>
#include <optional>
#include <vector>

#include "loader/agent/part.hpp"
#include "loader/agent/whole_file.hpp"
#include "loader/state/attachment.hpp"
#include "loader/state/nodes.hpp"
#include "loader/state/policy/mode.hpp"
#include "loader/state/policy/policies.hpp"
#include "loader/state/policy/record.hpp"

namespace sluice::loader::agent {
namespace {

using state::policy::LocalPod;
using state::policy::Policies;

Result<std::vector<LocalPod>> local_pods(const Root& root) {
  std::vector<LocalPod> pods;
  for (const state::Attachment& one : TRY(state::attachments(root)))
    pods.push_back({one.pod_namespace, one.pod_name, one.addresses, static_cast<std::uint32_t>(one.host_ifindex)});
  return pods;
}

bool is_node(const kube::ObjectId& id) { return id.kind == "Node"; }

/// What policy is not about.
bool is_of_services(const kube::ObjectId& id) { return id.kind == "Service" || id.kind == "EndpointSlice"; }

std::uint32_t mode_of(const PolicyMode& mode) {
  return (mode.audit ? POLICY_AUDIT : 0U) | (mode.reject ? POLICY_REJECT : 0U);
}

void warn_of_modes(const state::Cluster& cluster, const std::vector<kube::ObjectId>& changed) {
  for (const kube::ObjectId& id : changed)
    if (const kube::Object* object = cluster.find(id);
        object != nullptr && (id.kind == "Pod" || id.kind == "Namespace"))
      for (const std::string& problem : state::policy::mode_problems(*object)) spdlog::warn("msg=\"{}\"", problem);
}

class PoliciesPart : public Part {
 public:
  explicit PoliciesPart(Root root) : root_(std::move(root)) {}

  [[nodiscard]] const char* name() const override { return "policies"; }

  Result<Applied> apply(const state::Cluster& cluster, const std::vector<kube::ObjectId>& changed,
                        const NodeConfig& config) override {
    // The plugin writes an endpoint after its record, so pods are looked at whenever a record has changed.
    if (policies_ && std::ranges::all_of(changed, is_of_services) && !records_changed_ && config.policy == mode_ &&
        config.mode == node_mode_)
      return Applied{};
    if (!policies_) policies_ = TRY(Policies::open(root_));
    if (records_changed_) local_ = TRY(local_pods(root_));
    const std::string node = config.name();
    if (node != node_ || config.mode != node_mode_) plan_.reset();
    node_ = node;
    node_mode_ = config.mode;
    // A node that knows itself is one of a cluster, whose pods have objects.
    const bool managed = cluster.find({"Node", "", node}) != nullptr;
    if (!plan_ || std::ranges::any_of(changed, is_node)) plan_ = TRY(plan_of(cluster, config));
    const auto report =
        TRY(policies_->update(cluster, node, local_, managed, *plan_, &changed, mode_of(config.policy)));
    records_changed_ = false;
    mode_ = config.policy;
    warn_of_modes(cluster, changed);
    words_.take(cluster, changed);
    return Applied{report.written > 0 ? report.rule_sets : 0, report.written};
  }

  void maps_are_new() override {
    policies_.reset();
    plan_.reset();
  }
  void pods_changed() override { records_changed_ = true; }
  void write_down() override {
    if (!policies_ || !words_.changed()) return;
    // Not here: with ten thousand policies it takes as long as a change that comes meanwhile may wait. One at a time.
    writing_ = std::async(std::launch::async, [file = state::policy::record_file(root_), page = words_.page(node_)] {
      write_whole_file(file, page.text());
    });
  }

 private:
  /// As the nodes part has it, which is done before: the numbers of nodes are in the map.
  Result<state::NodePlan> plan_of(const state::Cluster& cluster, const NodeConfig& config) const {
    if (config.mode == Mode::kNone) return state::NodePlan{};
    return state::plan_nodes(cluster, config.name(), root_.maps());
  }

  Root root_;
  std::optional<Policies> policies_;
  state::policy::RecordText words_;
  std::future<void> writing_;  ///< of policy.json; waits for the end where it goes
  std::string node_;
  Mode node_mode_ = Mode::kNone;
  std::optional<state::NodePlan> plan_;  ///< null: to be found
  std::vector<LocalPod> local_;
  bool records_changed_ = true;
  PolicyMode mode_;  ///< as it was applied last
};

}  // namespace

std::unique_ptr<Part> policies_part(const Root& root) { return std::make_unique<PoliciesPart>(root); }

}  // namespace sluice::loader::agent
