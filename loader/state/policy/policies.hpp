/// Policy in force: the compiled tables brought into the maps, in an order in which no packet meets half a rule set.
///
/// New sets of peers, ports and rule sets are written beside the old ones, under numbers that are in no use; then
/// addresses and pods switch to them and the epoch grows once; then what is no longer wanted goes. A map that has no
/// room refuses the change as a whole. After a restart everything is compiled anew under new numbers and switched to in
/// the same way: the verdicts are the same before, meanwhile and after.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "loader/root.hpp"
#include "loader/state/policy/compile.hpp"
#include "maps/result.hpp"

namespace sluice::loader::state::policy {

struct Report {
  std::size_t rule_sets = 0;
  std::size_t written = 0;  ///< elements of maps
};

class Policies {
 public:
  /// Opens the maps of a loaded datapath. ENOENT: none is loaded.
  static Result<Policies> open(const Root& root);

  Policies(Policies&&) noexcept;
  Policies& operator=(Policies&&) noexcept;
  ~Policies();

  /// Brings the maps to what the cluster's objects say for the pods of `node`. E2BIG: a map has no room; the message
  /// names its key in sluice.yaml, and nothing was changed.
  /// `managed` and `plan` as in compile.
  Result<Report> update(const Cluster& cluster, const std::string& node, const std::vector<LocalPod>& local,
                        bool managed, const NodePlan& plan);

 private:
  struct State;
  explicit Policies(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace sluice::loader::state::policy
