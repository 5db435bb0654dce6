/// From objects to what a lab makes of them: everything that can be refused is refused before anything is made.
#pragma once

#include <vector>

#include "loader/kube/object.hpp"
#include "maps/result.hpp"
#include "tests/lab/record.hpp"

namespace sluice::lab {

template <typename Record>
struct Planned {
  Record record;
  loader::kube::Object object;  ///< that it is made of
};

struct Plan {
  std::vector<Planned<NodeRecord>> nodes;
  std::vector<loader::kube::Object> others;
  std::vector<Planned<PodRecord>> pods;
};

/// The objects as records, checked against each other and against the nodes and pods that are there. EINVAL: an object
/// twice, a Node without address or with addresses of another, a Pod without node, a change of what cannot change.
Result<Plan> make_plan(const std::vector<loader::kube::Object>& objects, const std::vector<NodeRecord>& nodes,
                       const std::vector<PodRecord>& pods);

/// The annotation of a Node with a JSON object whose keys go into its configuration ({"mode": "overlay"}).
inline constexpr const char* kNodeConfigAnnotation = "lab.sluice.dev/config";

/// The annotation of a Pod with a JSON object whose keys go into the plugin's configuration ({"mtu": 1400}).
inline constexpr const char* kPluginConfigAnnotation = "lab.sluice.dev/plugin-config";

}  // namespace sluice::lab
