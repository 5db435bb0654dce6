/// The cluster's objects on their way into the maps: takes what the source has, and has each part of the agent apply
/// it. What cannot be applied is said, and tried again with the next change and by and by; what was applied before
/// stays in force.
///
/// What there is, what is wrong and when each part was done last goes to the board, and stands in agent.json in the run
/// folder (loader/agent/status.hpp).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "loader/agent/http.hpp"
#include "loader/agent/part.hpp"
#include "loader/agent/status.hpp"
#include "loader/config.hpp"
#include "loader/kube/source.hpp"
#include "loader/root.hpp"
#include "loader/state/cluster.hpp"

namespace sluice::loader::agent {

class Objects {
 public:
  /// Watches root.objects(). Reads nothing yet. What it is given lives longer.
  static Result<Objects> open(const Root& root, HttpServers& servers, StatusBoard& board);

  [[nodiscard]] int fd() const { return source_->fd(); }
  /// Takes what the source has and applies it. `config` says which node this is.
  void take(const NodeConfig& config);
  /// Tries again what failed; all of it where the maps are new ones.
  void apply(const NodeConfig& config);
  /// Once in a while, before `apply`: it looks at all that somebody may have changed, too.
  void look_again();
  /// The datapath was loaded anew: its maps are empty.
  void maps_are_new();
  /// Pods were attached to this node, or taken off it.
  void pods_changed(const NodeConfig& config);
  /// What may wait until the changes are in force: soon after any of the others.
  void write_down();

 private:
  /// A part, and how it fares.
  struct Work {
    std::unique_ptr<Part> part;
    std::vector<kube::ObjectId> pending;  ///< changed since the last success
    PartStatus status;                    ///< without `pending`
  };

  Objects(Root root, std::unique_ptr<kube::Source> source, StatusBoard& board)
      : root_(std::move(root)), source_(std::move(source)), board_(board) {}
  void apply(Work& work, const NodeConfig& config) const;
  void note_problems();
  void note_status() const;

  Root root_;
  std::unique_ptr<kube::Source> source_;
  StatusBoard& board_;
  state::Cluster cluster_;
  std::vector<Work> works_;
  std::vector<kube::Problem> problems_;  ///< sorted
  bool started_ = false;                 ///< the first look at the objects is over
  bool many_changed_ = false;            ///< since `write_down`
};

}  // namespace sluice::loader::agent
