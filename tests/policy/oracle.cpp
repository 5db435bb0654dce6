#include "tests/policy/oracle.hpp"

#include <algorithm>
#include <vector>

namespace sluice::test {
namespace {

using namespace loader::kube;
using loader::state::Cluster;

Labels namespace_labels(const Cluster& cluster, const std::string& ns) {
  const Object* object = cluster.find({"Namespace", "", ns});
  return object != nullptr ? object->labels : Labels{{"kubernetes.io/metadata.name", ns}};
}

const Pod& pod_of(const Object& object) { return std::get<Pod>(object.body); }

bool port_matches(const PolicyPort& wanted, const End& server, Protocol protocol, std::uint16_t port) {
  if (wanted.name.empty()) return wanted.protocol == protocol && wanted.first <= port && port <= wanted.last;
  if (server.pod == nullptr) return false;
  // A name means the first port of that name and protocol.
  for (const ContainerPort& one : pod_of(*server.pod).ports) {
    if (one.name != wanted.name || (wanted.protocol && *wanted.protocol != one.protocol)) continue;
    return one.protocol == protocol && one.port == port;
  }
  return false;
}

/// `names`: a port's name is looked up on the pod. Towards an address block nobody says whose name it would be: a named
/// port matches nothing there.
bool ports_match(const std::vector<PolicyPort>& ports, const End& server, Protocol protocol, std::uint16_t port,
                 bool names) {
  return ports.empty() || std::ranges::any_of(ports, [&](const PolicyPort& one) {
           return (names || one.name.empty()) && port_matches(one, server, protocol, port);
         });
}

bool peer_matches(const Cluster& cluster, const std::string& ns, const PolicyPeer& peer, const End& end) {
  if (const auto* block = std::get_if<IpBlock>(&peer))
    return block->cidr.contains(end.address) &&
           std::ranges::none_of(block->except, [&](const Prefix& one) { return one.contains(end.address); });
  if (end.pod == nullptr) return false;
  const auto& pods = std::get<PodPeer>(peer);
  const bool in_namespace =
      pods.namespaces ? pods.namespaces->matches(namespace_labels(cluster, end.pod->id.ns)) : end.pod->id.ns == ns;
  return in_namespace && pods.pods.matches(end.pod->labels);
}

bool peer_matches(const Cluster& cluster, const ClusterPeer& peer, const End& end) {
  if (const auto* networks = std::get_if<ClusterNetworks>(&peer))
    return std::ranges::any_of(networks->cidrs, [&](const Prefix& one) { return one.contains(end.address); });
  if (const auto* nodes = std::get_if<ClusterNodes>(&peer))
    return end.node != nullptr && nodes->nodes.matches(end.node->labels);
  const auto& pods = std::get<ClusterPods>(peer);
  return end.pod != nullptr && pods.namespaces.matches(namespace_labels(cluster, end.pod->id.ns)) &&
         pods.pods.matches(end.pod->labels);
}

enum class Said { kNothing, kAllow, kDeny, kPass };

/// What the cluster policies of a tier say of a connection of `subject` with `peer`.
Said tier_says(const Cluster& cluster, ClusterPolicy::Tier tier, bool ingress, const End& subject, const End& peer,
               const End& server, Protocol protocol, std::uint16_t port) {
  std::vector<const ClusterPolicy*> ordered;
  cluster.each<ClusterPolicy>([&](const Object&, const ClusterPolicy& policy) {
    if (policy.tier == tier) ordered.push_back(&policy);
  });
  std::ranges::stable_sort(ordered, {}, [](const ClusterPolicy* one) { return one->priority; });
  for (const ClusterPolicy* policy : ordered) {
    if (!policy->subject.namespaces.matches(namespace_labels(cluster, subject.pod->id.ns)) ||
        !policy->subject.pods.matches(subject.pod->labels))
      continue;
    for (const ClusterRule& rule : ingress ? policy->ingress : policy->egress) {
      const bool matches = std::ranges::any_of(rule.peers, [&](const ClusterPeer& one) {
        const bool names = ingress || std::holds_alternative<ClusterPods>(one);
        return peer_matches(cluster, one, peer) && ports_match(rule.ports, server, protocol, port, names);
      });
      if (!matches) continue;
      return rule.action == ClusterRule::Action::kAccept ? Said::kAllow
             : rule.action == ClusterRule::Action::kDeny ? Said::kDeny
                                                         : Said::kPass;
    }
  }
  return Said::kNothing;
}

bool side_allows(const Cluster& cluster, bool ingress, const End& subject, const End& peer, const End& server,
                 Protocol protocol, std::uint16_t port) {
  const Said admin = tier_says(cluster, ClusterPolicy::Tier::kAdmin, ingress, subject, peer, server, protocol, port);
  if (admin == Said::kAllow || admin == Said::kDeny) return admin == Said::kAllow;
  bool isolated = false, allowed = false;
  cluster.each<NetworkPolicy>([&](const Object& object, const NetworkPolicy& policy) {
    if (object.id.ns != subject.pod->id.ns || !policy.pods.matches(subject.pod->labels)) return;
    if (!(ingress ? policy.isolates_ingress : policy.isolates_egress)) return;
    isolated = true;
    for (const PolicyRule& rule : ingress ? policy.ingress : policy.egress) {
      if (rule.peers.empty()) allowed |= ports_match(rule.ports, server, protocol, port, true);
      for (const PolicyPeer& one : rule.peers)
        allowed |= peer_matches(cluster, object.id.ns, one, peer) &&
                   ports_match(rule.ports, server, protocol, port, ingress || std::holds_alternative<PodPeer>(one));
    }
  });
  if (isolated) return allowed;
  return tier_says(cluster, ClusterPolicy::Tier::kBaseline, ingress, subject, peer, server, protocol, port) !=
         Said::kDeny;
}

}  // namespace

bool oracle_side_allows(const Cluster& cluster, bool ingress, const End& client, const End& server, Protocol protocol,
                        std::uint16_t port) {
  return ingress ? side_allows(cluster, true, server, client, server, protocol, port)
                 : side_allows(cluster, false, client, server, server, protocol, port);
}

bool oracle_allows(const Cluster& cluster, const std::string& own_node, const End& client, const End& server,
                   Protocol protocol, std::uint16_t port) {
  if (client.pod != nullptr && client.pod == server.pod) return true;
  if (client.pod != nullptr && pod_of(*client.pod).node_name == own_node &&
      !side_allows(cluster, false, client, server, server, protocol, port))
    return false;
  if (server.pod == nullptr || pod_of(*server.pod).node_name != own_node) return true;
  if (client.node != nullptr && client.node->id.name == own_node) return true;
  return side_allows(cluster, true, server, client, server, protocol, port);
}

}  // namespace sluice::test
