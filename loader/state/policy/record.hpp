/// What of policy people want to read and the maps do not say: <run>/policy.json, which the agent writes once a change
/// is in force, and whoever explains reads. The maps have numbers; here is what they stand for, with what it takes to
/// find out which policies are about a pod.
///
/// {"node": "node-1",
///  "policies": [{"policy": "NetworkPolicy shop/web", "tier": "network", "namespace": "shop", "pods": [SELECTOR],
///                "ingress": {"rules": [{"number": 7, "action": "allow", "peers": "from pods app=client",
///                                       "ports": "TCP 80", "ranges": [[6, 80, 80]]}]}}],
///  "pods": [{"pod": "shop/web", "node": "node-1", "addresses": ["10.0.0.5"], "labels": {"app": "web"}}],
///  "namespaces": [{"namespace": "shop", "labels": {}}]}
///
/// A direction that a policy says nothing of is missing. SELECTOR is a list of requirements, all of which must hold:
/// ["app", "In", "web", "db"]. A ClusterNetworkPolicy has "namespaces", a selector, in place of "namespace", and
/// "priority".
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "loader/kube/labels.hpp"
#include "loader/kube/object.hpp"
#include "loader/root.hpp"
#include "loader/state/cluster.hpp"
#include "loader/state/policy/ports.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader::state::policy {

struct RuleRecord {
  std::uint32_t number = 0;  ///< as in the maps: rule_number
  std::string name;          ///< its own; may be empty
  std::string action;        ///< "allow", "deny" or "pass"
  std::string peers, ports;  ///< in words
  std::vector<PortRange> ranges;
  bool named_ports = false;  ///< ports by name are among them, too
};

struct PolicyRecord {
  std::string policy;  ///< "NetworkPolicy shop/web"
  Tier tier = Tier::kNetwork;
  int priority = 0;                ///< of a ClusterNetworkPolicy
  std::string ns;                  ///< of a NetworkPolicy
  kube::LabelSelector namespaces;  ///< of a ClusterNetworkPolicy
  kube::LabelSelector pods;
  std::optional<std::vector<RuleRecord>> ingress, egress;  ///< none: it does not select for this direction

  [[nodiscard]] const std::optional<std::vector<RuleRecord>>& rules(bool of_ingress) const {
    return of_ingress ? ingress : egress;
  }
};

struct PodRecord {
  std::string node;
  std::vector<Address> addresses;  ///< that its object has; a pod of this node may have them before
  kube::Labels labels;
};

struct Record {
  std::string node;                       ///< whose agent has written it
  std::vector<PolicyRecord> policies;     ///< those that are asked first come first
  std::map<std::string, PodRecord> pods;  ///< by "namespace/name"
  std::map<std::string, kube::Labels> namespaces;
};

std::filesystem::path record_file(const Root& root);

/// EPROTO: not such a file.
Result<Record> parse_record(const std::string& text);

/// The file as it was at one moment. With ten thousand policies it is some megabytes: whoever has time puts it
/// together.
class RecordPage {
 public:
  [[nodiscard]] std::string text() const;

 private:
  friend class RecordText;
  using Part = std::shared_ptr<const std::string>;

  std::string node_;
  std::vector<Part> policies_, pods_, namespaces_;
};

/// The file as it grows with the cluster: only what has changed is put into words anew.
class RecordText {
 public:
  /// `changed` as Cluster::take tells them.
  void take(const Cluster& cluster, const std::vector<kube::ObjectId>& changed);
  /// Something has changed since the last `page`.
  [[nodiscard]] bool changed() const { return changed_; }
  RecordPage page(const std::string& node);

 private:
  std::map<kube::ObjectId, RecordPage::Part> policies_, pods_, namespaces_;
  bool changed_ = true;
};

}  // namespace sluice::loader::state::policy
