/// What the numbers of policy stand for, and which policies are about a pod: <run>/policy.json, as the agent wrote it
/// last (loader/state/policy/record.hpp). It may be half a second older than what is in force.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "loader/root.hpp"
#include "loader/state/policy/record.hpp"
#include "maps/result.hpp"

namespace sluice::loader::observe {

/// What was asked of policy: of which pod, in which direction, at which port of the server.
struct PolicyQuestion {
  std::string pod;  ///< "namespace/name"; empty: not known
  bool ingress = true;
  std::uint8_t proto = 0;  ///< IPPROTO_*
  std::uint16_t port = 0;
};

class PolicyWords {
 public:
  /// ENOENT: no agent has written any since the node was booted. EPROTO: it is not understood.
  static Result<PolicyWords> read(const Root& root);
  explicit PolicyWords(state::policy::Record record);
  PolicyWords(PolicyWords&&) = default;
  PolicyWords& operator=(PolicyWords&&) = default;

  /// "ClusterNetworkPolicy c, egress rule 2 (dns)". Rules of NetworkPolicies share numbers: those that say it of this
  /// pod and this port, with "; " between. Empty: there is none.
  [[nodiscard]] std::string rule(std::uint32_t number, const PolicyQuestion& question) const;
  /// The policies that select the pod for this direction, those that are asked first come first.
  [[nodiscard]] std::vector<const state::policy::PolicyRecord*> about(const std::string& pod, bool ingress) const;
  /// "isolated by NetworkPolicy a/p; NetworkPolicy a/q". Empty: no NetworkPolicy selects it.
  [[nodiscard]] std::string isolation(const std::string& pod, bool ingress) const;
  /// Why it was denied: the rule, else who isolates the pod. `number` 0: no rule decided.
  [[nodiscard]] std::string denial(std::uint32_t number, const PolicyQuestion& question) const;

  [[nodiscard]] const state::policy::Record& record() const { return record_; }

 private:
  struct Place {
    const state::policy::PolicyRecord* policy;
    const state::policy::RuleRecord* rule;
    bool ingress;
    std::size_t index;
  };
  [[nodiscard]] bool selects(const state::policy::PolicyRecord& policy, const std::string& pod) const;

  state::policy::Record record_;
  std::multimap<std::uint32_t, Place> rules_;
};

}  // namespace sluice::loader::observe
