#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>

#include "loader/agent/part.hpp"
#include "loader/program/own_routes.hpp"
#include "loader/state/direct_routes.hpp"
#include "loader/state/nodes.hpp"

namespace sluice::loader::agent {
namespace {

bool is_node(const kube::ObjectId& id) { return id.kind == "Node"; }

class NodesPart : public Part {
 public:
  explicit NodesPart(Root root) : root_(std::move(root)) {}

  [[nodiscard]] const char* name() const override { return "nodes"; }

  Result<Applied> apply(const state::Cluster& cluster, const std::vector<kube::ObjectId>& changed,
                        const NodeConfig& config) override {
    const bool same = mode_ == config.mode && std::ranges::none_of(changed, is_node);
    if (config.mode == Mode::kNone || (same && !look_again_)) {
      mode_ = config.mode;
      return Applied{0, 0, warnings_};
    }
    const auto plan = TRY(state::plan_nodes(cluster, config.name(), root_.maps()));
    const auto direct = TRY(state::plan_direct_routes(plan, config));
    std::size_t written = TRY(state::write_nodes(root_.maps(), plan, direct.routed));
    const auto routes = TRY(program::keep_own_routes(direct.routes));
    if (same && routes.written > 0)
      spdlog::warn("msg=\"routes to other nodes' pods were not as they should be: made right\" routes={}",
                   routes.written);
    warnings_ = plan.warnings;
    warnings_.insert(warnings_.end(), direct.warnings.begin(), direct.warnings.end());
    warnings_.insert(warnings_.end(), routes.refused.begin(), routes.refused.end());
    mode_ = config.mode;
    look_again_ = false;
    written += routes.written;
    return Applied{same && written == 0 ? 0 : plan.nodes.size(), written, warnings_};
  }

  void maps_are_new() override { mode_.reset(); }
  void look_again() override { look_again_ = true; }

 private:
  Root root_;
  std::optional<Mode> mode_;           ///< that was applied last
  std::vector<std::string> warnings_;  ///< of the last time
  bool look_again_ = false;
};

}  // namespace

std::unique_ptr<Part> nodes_part(const Root& root) { return std::make_unique<NodesPart>(root); }

}  // namespace sluice::loader::agent
