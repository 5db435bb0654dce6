/// What every node's agent is to know: a folder of objects under each node's root, and one of the lab for nodes to
/// come.
#pragma once

#include <string>

#include "loader/kube/object.hpp"
#include "maps/result.hpp"
#include "tests/lab/record.hpp"

namespace sluice::lab {

/// The object's file has this text everywhere. Each file is replaced in one step.
Result<void> put_object(const Paths& paths, const loader::kube::ObjectId& id, const std::string& text);
/// The text that nodes to come get; nullopt: there is no such object.
Result<std::optional<std::string>> get_object(const Paths& paths, const loader::kube::ObjectId& id);
/// Succeeds where there is none.
Result<void> remove_object(const Paths& paths, const loader::kube::ObjectId& id);

/// What a cluster has without being told: the namespace default.
Result<void> put_first_objects(const Paths& paths);

/// The object as the kubelet would leave it: status.podIPs, status.podIP, and where nothing else is said the phase
/// Running and the condition Ready. Without addresses yet it is as it was applied.
std::string pod_text(const loader::kube::Object& object, const std::vector<Address>& ips);

}  // namespace sluice::lab
