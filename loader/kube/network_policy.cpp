#include "loader/kube/network_policy.hpp"

#include "loader/kube/decode.hpp"

namespace sluice::loader::kube {

namespace {

Result<PolicyPort> decode_policy_port(const Field& field) {
  PolicyPort port;
  port.protocol = TRY(decode_protocol(TRY(field.at("protocol"))));
  const auto which = TRY(field.at("port"));
  if (!which.absent()) {
    if (which.is_number()) {
      port.first = port.last = TRY(decode_port(which));
    } else {
      port.name = TRY(decode_port_ref(which, {})).name;
      if (port.name.empty()) return which.wrong("must be a number or a port's name");
    }
  }
  const auto end = TRY(field.at("endPort"));
  if (end.absent()) return port;
  if (!which.is_number()) return end.wrong("needs a port that is a number");
  port.last = TRY(decode_port(end));
  if (port.last < port.first) return end.wrong("must not be smaller than port");
  return port;
}

Result<IpBlock> decode_ip_block(const Field& field) {
  IpBlock block;
  block.cidr = TRY(decode_cidr(TRY(field.at("cidr"))));
  for (const auto& element : TRY(TRY(field.at("except")).elements())) {
    const auto except = TRY(decode_cidr(element));
    if (except.address.is_v4() != block.cidr.address.is_v4() || !block.cidr.contains(except.address) ||
        except.length <= block.cidr.length) {
      return element.wrong(except.text() + " is not a part of " + block.cidr.text());
    }
    block.except.push_back(except);
  }
  return block;
}

Result<PolicyPeer> decode_peer(const Field& field) {
  const auto block = TRY(field.at("ipBlock"));
  const auto pods = TRY(field.at("podSelector"));
  const auto namespaces = TRY(field.at("namespaceSelector"));
  if (!block.absent()) {
    if (!pods.absent() || !namespaces.absent()) return block.wrong("must stand alone in its peer");
    return PolicyPeer(TRY(decode_ip_block(block)));
  }
  if (pods.absent() && namespaces.absent()) return field.wrong("has no ipBlock, podSelector or namespaceSelector");
  PodPeer peer;
  peer.pods = TRY(decode_selector(pods));
  if (!namespaces.absent()) peer.namespaces = TRY(decode_selector(namespaces));
  return PolicyPeer(std::move(peer));
}

Result<std::vector<PolicyRule>> decode_rules(const Field& list, const std::string& peers_key) {
  std::vector<PolicyRule> rules;
  for (const auto& element : TRY(list.elements())) {
    PolicyRule rule;
    for (const auto& peer : TRY(TRY(element.at(peers_key)).elements())) rule.peers.push_back(TRY(decode_peer(peer)));
    for (const auto& port : TRY(TRY(element.at("ports")).elements())) {
      rule.ports.push_back(TRY(decode_policy_port(port)));
    }
    rules.push_back(std::move(rule));
  }
  return rules;
}

}  // namespace

Result<NetworkPolicy> decode_network_policy(const Field& document) {
  NetworkPolicy policy;
  const auto spec = TRY(document.at("spec"));
  policy.pods = TRY(decode_selector(TRY(spec.at("podSelector"))));
  policy.ingress = TRY(decode_rules(TRY(spec.at("ingress")), "from"));
  policy.egress = TRY(decode_rules(TRY(spec.at("egress")), "to"));

  const auto types = TRY(TRY(spec.at("policyTypes")).elements());
  policy.isolates_ingress = types.empty();
  policy.isolates_egress = types.empty() && !policy.egress.empty();
  for (const auto& type : types) {
    TRY(type.required_text());
    const bool ingress = TRY(decode_choice(type, {{"Ingress", true}, {"Egress", false}}, true));
    (ingress ? policy.isolates_ingress : policy.isolates_egress) = true;
  }
  if (!policy.isolates_ingress) policy.ingress.clear();
  if (!policy.isolates_egress) policy.egress.clear();
  return policy;
}

}  // namespace sluice::loader::kube
