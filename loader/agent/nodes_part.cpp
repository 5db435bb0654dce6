#include <spdlog/spdlog.h>

#include <algorithm>

#include "loader/agent/part.hpp"
#include "loader/state/nodes.hpp"

namespace sluice::loader::agent {
namespace {

class NodesPart : public Part {
 public:
  explicit NodesPart(Root root) : root_(std::move(root)) {}

  [[nodiscard]] const char* name() const override { return "nodes"; }

  Result<Applied> apply(const state::Cluster& cluster, const std::vector<kube::ObjectId>& changed,
                        const NodeConfig& config) override {
    if (config.mode != Mode::kOverlay) return Applied{};
    if (applied_ && std::ranges::none_of(changed, [](const auto& id) { return id.kind == "Node"; })) return Applied{};
    const auto plan = TRY(state::plan_nodes(cluster, node_name(config), root_.maps()));
    for (const std::string& warning : plan.warnings) spdlog::warn("msg=\"{}\"", warning);
    const std::size_t written = TRY(state::write_tunnels(root_.maps(), plan));
    applied_ = true;
    return Applied{plan.nodes.size(), written};
  }

  void maps_are_new() override { applied_ = false; }

 private:
  Root root_;
  bool applied_ = false;
};

}  // namespace

std::unique_ptr<Part> nodes_part(const Root& root) { return std::make_unique<NodesPart>(root); }

}  // namespace sluice::loader::agent
