/// Kubernetes objects: of the kinds that Sluice works with the fields that it uses, of every other kind what it is
/// called. Fields that are not named here are ignored, as the API does between its versions.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader::kube {

/// What tells two objects of a cluster apart.
struct ObjectId {
  std::string kind;
  std::string ns;  ///< empty for what belongs to no namespace
  std::string name;

  [[nodiscard]] std::string text() const;  ///< "Pod default/web"
  auto operator<=>(const ObjectId&) const = default;
};

/// v1 Node.
struct Node {
  std::vector<Prefix> pod_cidrs;            ///< spec.podCIDRs, else spec.podCIDR: at most one of each family
  std::vector<Address> internal_addresses;  ///< status.addresses of type InternalIP
  bool operator==(const Node&) const = default;
};

/// v1 Pod.
struct Pod {
  std::string node_name;  ///< spec.nodeName; empty: not scheduled yet
  bool host_network = false;
  bool operator==(const Pod&) const = default;
};

struct Object {
  std::string api_version;  ///< "v1", "networking.k8s.io/v1"
  ObjectId id;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::variant<std::monostate, Node, Pod> body;  ///< monostate: a kind that is kept as it came
  std::string json;                              ///< the whole object, all fields, on one line
};

/// One object from its JSON. EINVAL: not an object of Kubernetes, or a field that is used has a wrong value; the
/// message names the object and the field.
Result<Object> decode(std::string_view json);

}  // namespace sluice::loader::kube
