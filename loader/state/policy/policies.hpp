/// Policy in force: the compiled tables brought into the maps, in an order in which no packet meets half a change.
///
/// What policy knows an address by stands twice in `endpoints` and `ipcache`, once for each generation, and the lowest
/// bit of the epoch says which generation decides (maps/runtime.h). A change is:
///
///   1. New rule sets, and the sets of peers and ports that they are made of, under numbers that nothing in force has.
///   2. In every address, the generation that does not decide is made the wanted one. A block that is new is in the
///      deciding generation what the next larger one is, so that it changes nothing yet; one that goes is in the other
///      generation what the next larger one will be.
///   3. One word is written: the epoch, which switches the generation.
///   4. When all programs that ran at that moment have ended, the former generation is made the same as the new one,
///      blocks that are not wanted go, and so do rule sets and sets that nothing has any more.
///
/// Why every packet is judged wholly by the old or wholly by the new state: a decision reads the epoch once, at its
/// beginning, and all that it judges by follows from the generation of that epoch. Its classes and rule sets are those
/// of one generation of all addresses, which nobody changes while it decides (2. writes the other one, 4. waits); a
/// rule set's content never changes while its number stands anywhere. What a decision leaves in a flow is marked with
/// the epoch that it read, and that is another one from 3. on: each connection's next packet is decided by the new
/// state. A process that is killed anywhere leaves a deciding generation that is whole, beside things that the next one
/// finishes or takes away. A map that has no room refuses the change before anything is written.
///
/// What the plugin does to an endpoint meanwhile is the same in both generations, and neither writes over what the
/// other has written (Lock::endpoints). One thing is left to the kernel: a hash may use the memory of an element that
/// was replaced for the second key that is written after it, which a program that found the old element a moment before
/// would copy. Programs copy at once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "loader/root.hpp"
#include "loader/state/policy/compile.hpp"
#include "loader/state/policy/store.hpp"
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
  /// Goes on with what is in these maps.
  static Result<Policies> open(Store store);

  Policies(Policies&&) noexcept;
  Policies& operator=(Policies&&) noexcept;
  ~Policies();

  /// Brings the maps to what the cluster's objects say for the pods of `node`. E2BIG: a map has no room; the message
  /// names its key in sluice.yaml, and nothing was changed. Waits for running programs, some milliseconds, when
  /// everything is in force already.
  /// The rest as for Compiler::run.
  Result<Report> update(const Cluster& cluster, const std::string& node, const std::vector<LocalPod>& local,
                        bool managed, const NodePlan& plan, const std::vector<kube::ObjectId>* changed = nullptr,
                        std::uint32_t mode = 0);

 private:
  struct State;
  explicit Policies(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace sluice::loader::state::policy
