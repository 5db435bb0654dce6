/// The rules of policies in numbers, for the maps, and in words, for people. Pure functions.
///
/// A number is made of what the rule says, so it needs nobody who gives it out, and is the same after a restart. That
/// two rules get one number by chance is unlikely and does no harm: whoever looks it up knows the pod and the port,
/// too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "loader/kube/cluster_policy.hpp"
#include "loader/kube/network_policy.hpp"
#include "loader/kube/object.hpp"

namespace sluice::loader::state::policy {

/// struct tier_verdict.rule of a NetworkPolicy's rule: of its peers as they are written, not of the object and not of
/// port numbers. Rules with the same peers have one number, in whatever policy and at whatever ports, and so their sets
/// of peers stay one. Never 0. `ns`: the policy's namespace.
std::uint32_t rule_number(const kube::PolicyRule& rule, const std::string& ns);

/// The same of rule `index` (from 1) of a ClusterNetworkPolicy, in whose tiers each rule decides by itself.
std::uint32_t rule_number(const kube::ObjectId& policy, bool ingress, std::size_t index);

/// "NetworkPolicy shop/web, ingress rule 1"; with a rule's own name behind it: "... rule 1 (from-monitoring)".
/// `policy`: ObjectId::text().
std::string rule_name(const std::string& policy, bool ingress, std::size_t index, const std::string& name = {});

/// "from pods app=client in this namespace, from 10.0.0.0/8 except 10.1.0.0/16": "to" where it is not `ingress`.
std::string peers_text(const kube::PolicyRule& rule, bool ingress);
std::string peers_text(const kube::ClusterRule& rule, bool ingress);

/// "TCP 80, TCP 8000-8063, UDP dns"; "every port" for none.
std::string ports_text(const std::vector<kube::PolicyPort>& ports);

}  // namespace sluice::loader::state::policy
