/// Policy as the maps have it, for people: which rule sets there are, who has them, what they say of a connection, and
/// how much of the maps they take. Reads; changes nothing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "loader/root.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"
#include "maps/views.hpp"

namespace sluice::loader::observe {

/// One direction of a compiled rule set.
struct RuleSet {
  std::uint32_t id = 0;
  std::uint32_t flags = 0;                   ///< POLICY_*
  std::size_t ports = 0;                     ///< its entries in policy_ports
  std::vector<std::string> egress, ingress;  ///< the pods whose rules for what they send, or get, these are
};

/// What a rule set says for some ports.
struct RuleSetPorts {
  std::uint8_t proto = 0;                 ///< IPPROTO_*; 0: every one that has no entry
  std::uint16_t first = 0, last = 65535;  ///< where no narrower entry of the same rule set says something else
  maps::peer_verdict everyone{};
  std::vector<std::pair<std::uint32_t, maps::peer_verdict>> peers;  ///< by class
};

/// What policy says at one end of a connection, and why.
struct PolicySide {
  enum class Because {
    kNotHere,     ///< the end is no pod of this node: it is not judged here
    kItself,      ///< a pod always reaches itself
    kOwnNode,     ///< a pod's own node always reaches it
    kNoRuleSet,   ///< no policy selects the pod for this direction
    kWaiting,     ///< the pod's policy is not known yet
    kNotInForce,  ///< its rule set is gone
    kRule,        ///< a rule decides
    kIsolated,    ///< a NetworkPolicy selects the pod, and no rule allows
    kNothingSaid  ///< policies select the pod, and none says anything of this connection
  };
  Because because = Because::kNotHere;
  bool denied = false;
  std::uint32_t rule_set = 0;
  std::uint32_t flags = 0;  ///< POLICY_* of the rule set: with POLICY_AUDIT, what is denied goes through
  std::uint32_t rule = 0;   ///< struct tier_verdict.rule, with kRule
};

struct PolicyVerdict {
  PolicySide egress;   ///< of the client
  PolicySide ingress;  ///< of the server; meaningful also where egress has denied

  [[nodiscard]] bool allowed() const;
};

/// How much there is, and how much of it is shared.
struct PolicyUsage {
  struct Map {
    std::string name;
    std::size_t entries = 0;
    std::uint32_t capacity = 0;
  };
  std::vector<Map> maps;
  std::size_t rule_sets = 0;   ///< that pods have
  std::size_t directions = 0;  ///< of pods of this node that have one: at most two a pod
  std::size_t peer_sets = 0;
  std::size_t peer_set_users = 0;  ///< entries of policy_ports that name one
};

class PolicyMaps {
 public:
  /// ENOENT: no datapath is loaded.
  static Result<PolicyMaps> open(const Root& root);

  /// Those in force, by id.
  [[nodiscard]] Result<std::vector<RuleSet>> rule_sets() const;
  /// Narrower entries come first. ENOENT: no rule set has this number.
  [[nodiscard]] Result<std::vector<RuleSetPorts>> ports_of(std::uint32_t rule_set) const;
  /// What a class stands for: the pods and the blocks that have it, as they are in the maps.
  [[nodiscard]] Result<std::map<std::uint32_t, std::vector<std::string>>> class_members() const;
  [[nodiscard]] Result<PolicyUsage> usage() const;

  /// What the datapath would say of a new connection (bpf/lib/judge.h). `port`: of the server, in host order, as the
  /// server sees it.
  [[nodiscard]] Result<PolicyVerdict> ask(const Address& client, const Address& server, std::uint8_t proto,
                                          std::uint16_t port) const;
  /// This node has a pod with this address.
  [[nodiscard]] Result<bool> is_here(const Address& address) const;

 private:
  PolicyMaps(Root root, maps::Policies policies, maps::PolicyPorts ports, maps::Peers peers, maps::Ipcache ipcache,
             maps::Endpoints endpoints)
      : root_(std::move(root)),
        policies_(std::move(policies)),
        ports_(std::move(ports)),
        peers_(std::move(peers)),
        ipcache_(std::move(ipcache)),
        endpoints_(std::move(endpoints)) {}

  /// `pod`: null where it is none of this node.
  [[nodiscard]] Result<maps::address_classes> classes_of(const Address& address, const maps::pod_policy* pod,
                                                         std::uint32_t generation) const;
  [[nodiscard]] Result<std::optional<maps::policy_port>> port_entry(std::uint32_t id, std::uint32_t lengths,
                                                                    std::uint16_t port, std::uint8_t proto) const;
  [[nodiscard]] Result<PolicySide> ask_rule_set(std::uint32_t id, const maps::address_classes& peer, std::uint8_t proto,
                                                std::uint16_t port) const;

  Root root_;
  maps::Policies policies_;
  maps::PolicyPorts ports_;
  maps::Peers peers_;
  maps::Ipcache ipcache_;
  maps::Endpoints endpoints_;
};

}  // namespace sluice::loader::observe
