/// The cluster's objects on their way into the maps: takes what the source has, and applies it. What cannot be applied
/// is said, and tried again with the next change and by and by; what was applied before stays in force.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "loader/config.hpp"
#include "loader/kube/source.hpp"
#include "loader/root.hpp"
#include "loader/state/cluster.hpp"
#include "loader/state/service/services.hpp"

namespace sluice::loader::agent {

class Objects {
 public:
  /// Watches root.objects(). Reads nothing yet.
  static Result<Objects> open(const Root& root);

  [[nodiscard]] int fd() const { return source_->fd(); }
  /// Takes what the source has and applies it. `config` says which node this is.
  void take(const NodeConfig& config);
  /// Tries again what failed; all of it where the maps are new ones.
  void apply(const NodeConfig& config);
  /// The datapath was loaded anew: its maps are empty.
  void maps_are_new() { services_.reset(); }

 private:
  Objects(const Root& root, std::unique_ptr<kube::Source> source) : root_(root), source_(std::move(source)) {}
  Result<state::service::Report> apply_services(const state::service::NodeView& node);
  void note_problems();
  void write_status() const;

  Root root_;
  std::unique_ptr<kube::Source> source_;
  state::Cluster cluster_;
  std::vector<kube::ObjectId> pending_;  ///< changed since the last success
  std::optional<state::service::Services> services_;
  std::vector<kube::Problem> problems_;  ///< sorted
  std::string failure_;                  ///< of the last apply; empty: it succeeded
  std::chrono::microseconds took_{0};
  bool started_ = false;  ///< the first look at the objects is over
};

}  // namespace sluice::loader::agent
