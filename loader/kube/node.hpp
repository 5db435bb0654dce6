#pragma once

#include <string>
#include <vector>

#include "maps/address.hpp"

namespace sluice::loader::kube {

/// v1 Node.
struct Node {
  std::vector<Prefix> pod_cidrs;            ///< spec.podCIDRs, else spec.podCIDR: at most one of each family
  std::vector<Address> internal_addresses;  ///< status.addresses of type InternalIP
  std::vector<Address> external_addresses;  ///< status.addresses of type ExternalIP
  std::string zone;                         ///< the label topology.kubernetes.io/zone; empty: in none
  /// False only where the condition Ready says so: a node that is written by hand has no conditions.
  bool ready = true;
  /// The label node.kubernetes.io/exclude-from-external-load-balancers, with whatever value.
  bool excluded_from_load_balancers = false;
  bool operator==(const Node&) const = default;
};

}  // namespace sluice::loader::kube
