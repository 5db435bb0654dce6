/// Policies as objects have them, to the rules of one pod. Private to loader/state/policy.
#pragma once

#include <cstdint>
#include <vector>

#include "loader/kube/source.hpp"
#include "loader/state/policy/addresses.hpp"
#include "loader/state/policy/ports.hpp"
#include "loader/state/policy/subjects.hpp"

namespace sluice::loader::state::policy {

/// Whom a rule is about, found once for all pods that have the rule.
struct Peers {
  bool everyone = false;
  std::vector<const PodClass*> pods;
  std::vector<std::uint32_t> blocks;  ///< ids of block classes
};

/// A rule of an object, before it is known whose it is.
struct SourceRule {
  Tier tier = Tier::kNetwork;
  maps::tier_verdict verdict{};
  Peers peers;
  const std::vector<kube::PolicyPort>* ports = nullptr;  ///< empty: every protocol and port
};

/// The policy is about pods of this class.
bool selects(const kube::Object& policy, const PodClass& pod);

/// A NetworkPolicy or ClusterNetworkPolicy.
class SourcePolicy {
 public:
  explicit SourcePolicy(kube::ObjectPtr object) : object_(std::move(object)) {}

  [[nodiscard]] const kube::ObjectPtr& object() const { return object_; }
  /// It has something to say for this direction.
  [[nodiscard]] bool speaks_of(bool ingress) const;
  /// What none of its kind allows is denied.
  [[nodiscard]] bool isolates() const;
  /// All that its rules name.
  [[nodiscard]] std::vector<Prefix> blocks() const;
  /// `version`: of `subjects` and `addresses`; for the same one, the answer is the one that was found before.
  const std::vector<SourceRule>& rules(bool ingress, const Subjects& subjects, const Addresses& addresses,
                                       std::uint64_t version);

 private:
  kube::ObjectPtr object_;
  std::vector<SourceRule> rules_[2];  ///< of egress, of ingress
  std::uint64_t version_[2] = {0, 0};
};

/// Adds the rule as it is for the pods of `subject`. `rank` is its place among all of them.
void add_rule(std::vector<Rule>& rules, const SourceRule& source, const PodClass& subject, const Subjects& subjects,
              bool ingress, std::uint16_t rank);

}  // namespace sluice::loader::state::policy
