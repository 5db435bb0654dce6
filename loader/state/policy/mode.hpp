/// What happens to what policy denies: dropped in silence, unless the node's configuration, a namespace or a pod asks
/// for something else. Annotations of a Pod come before those of its Namespace, those before the node's configuration;
/// each is "true" or "false", and any other value counts as not given.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "loader/state/cluster.hpp"

namespace sluice::loader::state::policy {

/// Counted and shown, and goes through.
inline constexpr const char* kAuditAnnotation = "sluice.dev/policy-audit";
/// Answered: RST to TCP, else ICMP's "administratively prohibited". Audit comes first.
inline constexpr const char* kRejectAnnotation = "sluice.dev/policy-reject";

/// POLICY_AUDIT and POLICY_REJECT for this pod; `otherwise` where neither it nor its namespace says so.
std::uint32_t mode_of(const Cluster& cluster, const kube::ObjectId& pod, std::uint32_t otherwise);

/// What is wrong with these annotations of a Pod or a Namespace, a sentence each.
std::vector<std::string> mode_problems(const kube::Object& object);

}  // namespace sluice::loader::state::policy
