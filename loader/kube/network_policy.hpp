#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "loader/kube/labels.hpp"
#include "loader/kube/port.hpp"
#include "maps/address.hpp"

namespace sluice::loader::kube {

/// Destination ports that a rule is for: a range of one protocol, or those that a container of the destination pod
/// calls `name`.
struct PolicyPort {
  std::optional<Protocol> protocol;  ///< absent: with a name only, and then whichever protocol that port has
  std::uint16_t first = 0;           ///< 0 to 65535: every port of the protocol
  std::uint16_t last = 65535;        ///< inclusive
  std::string name;                  ///< not empty: `first` and `last` say nothing
  bool operator==(const PolicyPort&) const = default;
};

/// Addresses of `cidr` without those in `except`. Host bits are zero.
struct IpBlock {
  Prefix cidr;
  std::vector<Prefix> except;  ///< each inside cidr
  bool operator==(const IpBlock&) const = default;
};

/// Pods whose labels match in namespaces whose labels match.
struct PodPeer {
  std::optional<LabelSelector> namespaces;  ///< absent: the policy's own namespace only
  LabelSelector pods;                       ///< an absent podSelector is everything
  bool operator==(const PodPeer&) const = default;
};

using PolicyPeer = std::variant<PodPeer, IpBlock>;

struct PolicyRule {
  std::vector<PolicyPeer> peers;  ///< empty: everyone, also outside the cluster
  std::vector<PolicyPort> ports;  ///< empty: every protocol and port
  bool operator==(const PolicyRule&) const = default;
};

/// networking.k8s.io/v1 NetworkPolicy. policyTypes, its defaults applied, are the two `isolates_`; without it a
/// direction has no rules here either.
struct NetworkPolicy {
  LabelSelector pods;  ///< of the policy's namespace
  bool isolates_ingress = true;
  bool isolates_egress = false;
  std::vector<PolicyRule> ingress;
  std::vector<PolicyRule> egress;
  bool operator==(const NetworkPolicy&) const = default;
};

}  // namespace sluice::loader::kube
