/// Kubernetes objects: of the kinds that Sluice works with the fields that it uses, of every other kind what it is
/// called. Defaults are those of the API server, and already applied. Fields that are not named here are ignored, as
/// the API does between its versions.
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "loader/kube/cluster_policy.hpp"
#include "loader/kube/endpoint_slice.hpp"
#include "loader/kube/labels.hpp"
#include "loader/kube/namespace.hpp"
#include "loader/kube/network_policy.hpp"
#include "loader/kube/node.hpp"
#include "loader/kube/pod.hpp"
#include "loader/kube/service.hpp"

namespace sluice::loader::kube {

/// What tells two objects of a cluster apart.
struct ObjectId {
  std::string kind;
  std::string ns;  ///< empty for what belongs to no namespace
  std::string name;

  [[nodiscard]] std::string text() const;  ///< "Pod default/web"
  auto operator<=>(const ObjectId&) const = default;
};

/// monostate: a kind that Sluice does nothing with.
using Body = std::variant<std::monostate, Namespace, Node, Pod, Service, EndpointSlice, NetworkPolicy, ClusterPolicy>;

struct Object {
  std::string api_version;  ///< "v1", "networking.k8s.io/v1"
  ObjectId id;
  Labels labels;
  std::map<std::string, std::string> annotations;
  Body body;
  std::vector<std::string> warnings;  ///< what of it cannot be done as it says, a sentence each
  std::string json;                   ///< the whole object, all fields, on one line; empty with Keep::kUsed

  bool operator==(const Object&) const = default;
};

/// What of manifests is kept: all of it, or no more than Sluice uses, without objects of kinds that it does not.
enum class Keep { kAll, kUsed };

}  // namespace sluice::loader::kube
