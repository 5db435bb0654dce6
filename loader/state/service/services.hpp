/// Services to map contents: what the objects want is compiled for each Service by itself, and only what differs is
/// written, in an order in which no packet meets half a change (maps/service.h).
///
/// Numbers (of Services, endpoints and slots) are given out here and stay as long as what they stand for. After a
/// restart they are read back from the maps, so that nothing that did not change is touched.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "loader/config.hpp"
#include "loader/root.hpp"
#include "loader/state/cluster.hpp"
#include "loader/state/service/choice.hpp"
#include "loader/state/service/ranges.hpp"
#include "maps/result.hpp"
#include "maps/service.h"
#include "maps/views.hpp"

namespace sluice::loader::state::service {

/// What there is of this node's own.
struct NodeView {
  Here here;
  std::vector<Address> addresses;            ///< where node ports are
  Algorithm algorithm = Algorithm::kRandom;  ///< of Services that do not name one
  bool operator==(const NodeView& other) const = default;
};

struct Report {
  std::size_t services = 0;           ///< that were compiled anew
  std::size_t written = 0;            ///< elements of maps
  std::vector<std::string> warnings;  ///< what of those Services cannot be done as they say, a sentence each
};

class Services {
 public:
  /// Opens the maps of a loaded datapath and reads what is in them. ENOENT: none is loaded.
  static Result<Services> open(const Root& root);

  Services(Services&&) noexcept;
  Services& operator=(Services&&) noexcept;
  ~Services();

  /// Brings the maps to what the objects say; `changed` names those that came since the last call (the first call takes
  /// all of the cluster). E2BIG: a map has no room; the message names its key in sluice.yaml, nothing was changed, and
  /// the next call tries again.
  Result<Report> update(const Cluster& cluster, const std::vector<kube::ObjectId>& changed, const NodeView& node);

  /// What the maps know the Service by (struct service.id); 0: it is in none of them.
  [[nodiscard]] std::uint32_t number_of(const kube::ObjectId& id) const;

 private:
  struct Maps;
  struct Compiled;
  struct Adopted;
  struct State;
  explicit Services(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace sluice::loader::state::service
