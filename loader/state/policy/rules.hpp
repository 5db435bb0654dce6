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
  bool operator==(const Peers&) const = default;
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
  /// Found at the first call, whose `version` it is; from then on it has to follow each change.
  const std::vector<SourceRule>& rules(bool ingress, const Subjects& subjects, const Addresses& addresses,
                                       std::uint64_t version);
  /// Classes came or went: `changed` of pods, and of addresses with their last change. What this makes of the rules is
  /// of `version`.
  void follow(const std::vector<const PodClass*>& changed, const Subjects& subjects, const Addresses& addresses,
              std::uint64_t version);
  /// The version since which the rules of this direction are as they are.
  [[nodiscard]] std::uint64_t version(bool ingress) const { return sides_[ingress ? 1 : 0].version; }

 private:
  struct Side {
    std::vector<SourceRule> rules;
    std::uint64_t version = 0;  ///< 0: not found yet
  };

  void each_rule(bool ingress, auto&& work) const;

  kube::ObjectPtr object_;
  Side sides_[2];  ///< egress, ingress
};

/// Adds the rule as it is for the pods of `subject`. `rank` is its place among all of them.
void add_rule(std::vector<Rule>& rules, const SourceRule& source, const PodClass& subject, const Subjects& subjects,
              bool ingress, std::uint16_t rank);

}  // namespace sluice::loader::state::policy
