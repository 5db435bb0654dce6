/// The cluster's policies to wanted map contents.
///
/// NetworkPolicy v1 and ClusterNetworkPolicy (policy.networking.k8s.io). A pod is judged by its class (what its labels,
/// its namespace's and its named ports are), an address by the class of the blocks around it (maps/ipcache.h): rules
/// name classes, and pods with the same rules share a rule set. Only policies that select a pod of this node count.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "loader/state/cluster.hpp"
#include "loader/state/nodes.hpp"
#include "loader/state/policy/addresses.hpp"
#include "loader/state/policy/numbers.hpp"
#include "loader/state/policy/rules.hpp"
#include "loader/state/policy/subjects.hpp"
#include "maps/address.hpp"
#include "maps/endpoint.h"
#include "maps/policy.h"

namespace sluice::loader::state::policy {

/// A pod's interface on this node: the addresses are what its ADD gave it, whatever its object says yet.
struct LocalPod {
  std::string ns, name;  ///< empty: no pod of Kubernetes; it is known by its address alone
  std::vector<Address> addresses;
  std::uint32_t ifindex = 0;  ///< the host's end; 0: whichever has the address
  bool operator==(const LocalPod&) const = default;
};

/// Members of a set, by rising class.
using PeerSet = std::vector<std::pair<std::uint32_t, maps::peer_verdict>>;

/// What a policy id stands for. Its ports have that id in their keys, and are sorted by them.
struct RuleSet {
  maps::policy policy{};
  std::vector<std::pair<maps::policy_port_key, maps::policy_port>> ports;
};

/// All that a set or rule set says, whatever its number.
std::string content_of(const PeerSet& set);
std::string content_of(const RuleSet& rules);

/// What one of a pod's addresses is to have, as long as it is this interface's.
struct PodEntry {
  maps::pod_policy policy{};
  std::uint32_t ifindex = 0;  ///< 0: whichever has the address
};

struct Tables {
  std::map<std::uint32_t, std::shared_ptr<const RuleSet>> policies;
  std::map<std::uint32_t, std::shared_ptr<const PeerSet>> sets;
  std::shared_ptr<const Addresses> addresses;  ///< changes with the next run
  std::map<Address, PodEntry> pods;            ///< of this node, by address
  bool no_policy_id = false;                   ///< more rule sets than there are numbers: not to be used
  bool too_many_rules = false;                 ///< more than 65,535 for one direction of a pod: not to be used

  [[nodiscard]] const PrefixTable<AddressEntry>& ipcache() const { return addresses->ipcache(); }
};

/// Compiles again and again, and each time only what has changed: what a pod's class is, which addresses there are,
/// whom a rule is about and what a pod's rules are together is kept as long as all that it follows from is the same. A
/// new one compiles everything, in the same way.
class Compiler {
 public:
  explicit Compiler(Numbering numbers) : numbers_(std::move(numbers)) {}

  /// `managed`: this node's pods of Kubernetes get POLICY_INIT as long as their objects are not known; else they may do
  /// everything. `plan`: which addresses are behind which other node. `changed`: ids of the objects that may have
  /// changed since the last time; null, as in the first call: all may have. `mode`: POLICY_AUDIT and POLICY_REJECT
  /// where neither a pod nor its namespace says otherwise. What is returned is the same until the next call.
  const Tables& run(const Cluster& cluster, const std::string& node, const std::vector<LocalPod>& local, bool managed,
                    const NodePlan& plan, const std::vector<kube::ObjectId>* changed = nullptr, std::uint32_t mode = 0);

  [[nodiscard]] Numbering& numbers() { return numbers_; }

 private:
  /// The policies that select a pod's class, in the order in which their rules are judged.
  using Selected = std::vector<SourcePolicy*>;
  struct Done {
    std::vector<kube::ObjectPtr> by;  ///< whose rules these are
    std::uint64_t version = 0;        ///< of the classes that its sets name; 0: not done yet
    std::uint32_t id = 0;
    std::shared_ptr<const RuleSet> rules;
    std::map<std::uint32_t, std::shared_ptr<const PeerSet>> sets;
    bool too_many = false;
  };
  using SubjectKey = std::pair<std::uint32_t, bool>;               ///< class, ingress
  using DoneKey = std::tuple<std::uint32_t, bool, std::uint32_t>;  ///< and mode

  void select(const Cluster& cluster, const std::vector<LocalPod>& local);
  void select(const Cluster& cluster, const std::vector<kube::ObjectPtr>& ordered, const PodClass& subject);
  void find_blocks();
  void find_addresses(const Cluster& cluster, const std::vector<LocalPod>& local, const NodePlan& plan,
                      const SubjectChanges& changes);
  std::uint32_t rule_set(const PodClass& subject, bool ingress, std::uint32_t mode);
  void compile_rules(Done& done, const PodClass& subject, bool ingress, std::uint32_t mode, const Selected& by);
  std::uint32_t set_of(Done& done, const std::map<std::uint32_t, maps::peer_verdict>& peers);
  void add_local(const Cluster& cluster, const LocalPod& pod, bool managed, std::uint32_t mode);
  void forget_unused();

  Numbering numbers_;
  Subjects subjects_;
  std::string node_;
  std::shared_ptr<Addresses> addresses_;  ///< null: the first run is still to come
  std::uint64_t version_ = 1;             ///< another one when classes came or went
  std::uint64_t tidied_ = 0;              ///< the version for which unused numbers of classes were given back

  std::map<const kube::Object*, std::unique_ptr<SourcePolicy>> sources_;
  std::set<kube::ObjectPtr> blocks_of_;    ///< whose blocks_ these are
  std::vector<maps::ipcache_key> blocks_;  ///< each once, LargerFirst
  std::map<SubjectKey, Selected> selected_;
  std::map<DoneKey, Done> done_;
  Tables tables_;
};

/// Everything, once.
Tables compile(const Cluster& cluster, const std::string& node, const std::vector<LocalPod>& local,
               const Numbering& numbers = {}, bool managed = true, const NodePlan& plan = {}, std::uint32_t mode = 0);

}  // namespace sluice::loader::state::policy
