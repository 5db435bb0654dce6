#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "loader/kube/labels.hpp"
#include "loader/kube/network_policy.hpp"
#include "maps/address.hpp"

namespace sluice::loader::kube {

/// Pods (never those in the host's network) whose labels match in namespaces whose labels match.
struct ClusterPods {
  LabelSelector namespaces;
  LabelSelector pods;
  bool operator==(const ClusterPods&) const = default;
};

/// All addresses of nodes whose labels match.
struct ClusterNodes {
  LabelSelector nodes;
  bool operator==(const ClusterNodes&) const = default;
};

/// Address blocks, inside and outside the cluster. Host bits are zero.
struct ClusterNetworks {
  std::vector<Prefix> cidrs;
  bool operator==(const ClusterNetworks&) const = default;
};

using ClusterPeer = std::variant<ClusterPods, ClusterNodes, ClusterNetworks>;

struct ClusterRule {
  enum class Action : std::uint8_t { kAccept, kDeny, kPass };

  std::string name;  ///< may be empty
  Action action = Action::kDeny;
  std::vector<ClusterPeer> peers;  ///< empty: nobody
  std::vector<PolicyPort> ports;   ///< empty: every protocol and port
  bool operator==(const ClusterRule&) const = default;
};

/// policy.networking.k8s.io ClusterNetworkPolicy (v1alpha2), and its forerunners AdminNetworkPolicy and
/// BaselineAdminNetworkPolicy (v1alpha1), which are Admin and Baseline policies whose action Allow is Accept. Rules are
/// in the order in which they are judged. A peer of a kind that is not known here (domain names among them) closes the
/// rule, as the API asks: an Accept does not match that peer; a Deny or Pass becomes a Deny of everything. The object's
/// warnings say so.
struct ClusterPolicy {
  enum class Tier : std::uint8_t { kAdmin, kBaseline };

  Tier tier = Tier::kAdmin;
  std::uint16_t priority = 0;  ///< 0..1000, the lower first; 1001 for a BaselineAdminNetworkPolicy, which has none
  ClusterPods subject;
  std::vector<ClusterRule> ingress;
  std::vector<ClusterRule> egress;
  bool operator==(const ClusterPolicy&) const = default;
};

}  // namespace sluice::loader::kube
