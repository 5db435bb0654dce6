#include "loader/state/policy/mode.hpp"

#include "maps/policy.h"

namespace sluice::loader::state::policy {
namespace {

constexpr std::pair<const char*, std::uint32_t> kAnnotations[] = {{kAuditAnnotation, POLICY_AUDIT},
                                                                  {kRejectAnnotation, POLICY_REJECT}};

void apply(const kube::Object* object, std::uint32_t& mode) {
  if (object == nullptr) return;
  for (const auto& [name, flag] : kAnnotations) {
    const auto given = object->annotations.find(name);
    if (given == object->annotations.end()) continue;
    if (given->second == "true") mode |= flag;
    if (given->second == "false") mode &= ~flag;
  }
}

}  // namespace

std::uint32_t mode_of(const Cluster& cluster, const kube::ObjectId& pod, std::uint32_t otherwise) {
  std::uint32_t mode = otherwise;
  apply(cluster.find({"Namespace", "", pod.ns}), mode);
  apply(cluster.find(pod), mode);
  return mode;
}

std::vector<std::string> mode_problems(const kube::Object& object) {
  std::vector<std::string> problems;
  for (const auto& [name, flag] : kAnnotations) {
    const auto given = object.annotations.find(name);
    if (given != object.annotations.end() && given->second != "true" && given->second != "false")
      problems.push_back(object.id.text() + ": annotation " + name + " must be true or false, not '" + given->second +
                         "': it counts as not given");
  }
  return problems;
}

}  // namespace sluice::loader::state::policy
