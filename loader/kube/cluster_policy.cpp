#include "loader/kube/cluster_policy.hpp"

#include "loader/kube/decode.hpp"
#include "loader/kube/names.hpp"

namespace sluice::loader::kube {

namespace {

using Action = ClusterRule::Action;

constexpr std::uint16_t kAfterAllPriorities = 1001;
constexpr std::size_t kMaxRuleName = 100;

/// What differs between the kinds that become a ClusterPolicy.
struct Dialect {
  bool old = false;  ///< v1alpha1: portNumber, namedPort and portRange instead of protocols; Allow instead of Accept
  bool baseline = false;  ///< BaselineAdminNetworkPolicy: no priority, no Pass
};

Result<ClusterPods> decode_pods(const Field& field) {
  return ClusterPods{.namespaces = TRY(decode_selector(TRY(field.at("namespaceSelector")))),
                     .pods = TRY(decode_selector(TRY(field.at("podSelector"))))};
}

Result<ClusterPods> decode_subject(const Field& subject) {
  const auto namespaces = TRY(subject.at("namespaces"));
  const auto pods = TRY(subject.at("pods"));
  if (namespaces.absent() == pods.absent()) return subject.wrong("must have namespaces or pods, and only one of them");
  if (!pods.absent()) return decode_pods(pods);
  return ClusterPods{.namespaces = TRY(decode_selector(namespaces)), .pods = {}};
}

Result<std::vector<Prefix>> decode_networks(const Field& networks) {
  std::vector<Prefix> cidrs;
  for (const auto& element : TRY(networks.elements())) cidrs.push_back(TRY(decode_cidr(element)));
  if (cidrs.empty()) return networks.wrong("must have at least one block");
  return cidrs;
}

/// Absent: a peer of a kind that is not known.
Result<std::optional<ClusterPeer>> decode_peer(const Field& field, bool egress) {
  const std::vector<std::string> kinds = egress ? std::vector<std::string>{"namespaces", "pods", "nodes", "networks"}
                                                : std::vector<std::string>{"namespaces", "pods"};
  std::string kind;
  for (const auto& candidate : kinds) {
    if (TRY(field.at(candidate)).absent()) continue;
    if (!kind.empty()) return field.wrong("has " + kind + " and " + candidate + ", and only one can be");
    kind = candidate;
  }
  if (kind.empty()) return std::optional<ClusterPeer>();
  const auto value = TRY(field.at(kind));
  if (kind == "pods") return std::optional<ClusterPeer>(TRY(decode_pods(value)));
  if (kind == "nodes") return std::optional<ClusterPeer>(ClusterNodes{TRY(decode_selector(value))});
  if (kind == "networks") return std::optional<ClusterPeer>(ClusterNetworks{TRY(decode_networks(value))});
  return std::optional<ClusterPeer>(ClusterPods{.namespaces = TRY(decode_selector(value)), .pods = {}});
}

Result<void> set_range(const Field& range, PolicyPort& port) {
  port.first = TRY(decode_port(TRY(range.at("start"))));
  const auto end = TRY(range.at("end"));
  port.last = TRY(decode_port(end));
  if (port.last <= port.first) return end.wrong("must be greater than start");
  return {};
}

Result<std::string> port_name(const Field& field) {
  auto name = TRY(field.required_text());
  if (!is_port_name(name)) return field.wrong("\"" + name + "\" is not a port's name");
  return name;
}

/// An element of v1alpha2's protocols: {tcp: {destinationPort: {number: 80}}}.
Result<PolicyPort> decode_protocols_element(const Field& field) {
  const auto named = TRY(field.at("destinationNamedPort"));
  if (!named.absent()) return PolicyPort{.name = TRY(port_name(named))};
  const std::pair<const char*, Protocol> words[] = {
      {"tcp", Protocol::kTcp}, {"udp", Protocol::kUdp}, {"sctp", Protocol::kSctp}};
  for (const auto& [word, protocol] : words) {
    const auto match = TRY(field.at(word));
    if (match.absent()) continue;
    PolicyPort port{.protocol = protocol};
    const auto destination = TRY(match.at("destinationPort"));
    if (destination.absent()) return destination.wrong("is missing");
    const auto range = TRY(destination.at("range"));
    if (!range.absent()) {
      TRY(set_range(range, port));
    } else {
      port.first = port.last = TRY(decode_port(TRY(destination.at("number"))));
    }
    return port;
  }
  return field.wrong("must have one of tcp, udp, sctp and destinationNamedPort");
}

/// An element of v1alpha1's ports: {portNumber: {protocol: TCP, port: 80}}.
Result<PolicyPort> decode_ports_element(const Field& field) {
  const auto named = TRY(field.at("namedPort"));
  if (!named.absent()) return PolicyPort{.name = TRY(port_name(named))};
  PolicyPort port;
  if (const auto number = TRY(field.at("portNumber")); !number.absent()) {
    port.protocol = TRY(decode_protocol(TRY(number.at("protocol"))));
    port.first = port.last = TRY(decode_port(TRY(number.at("port"))));
    return port;
  }
  const auto range = TRY(field.at("portRange"));
  if (range.absent()) return field.wrong("must have one of portNumber, portRange and namedPort");
  port.protocol = TRY(decode_protocol(TRY(range.at("protocol"))));
  TRY(set_range(range, port));
  return port;
}

Result<std::vector<PolicyPort>> decode_ports(const Field& rule, const Dialect& dialect) {
  const std::string key = dialect.old ? "ports" : "protocols";
  const auto list = TRY(rule.at(key));
  // The other dialect's key would be ignored, and the rule then be for every port.
  const auto stray = TRY(rule.at(dialect.old ? "protocols" : "ports"));
  if (!stray.absent()) return stray.wrong("is called " + key + " in this version");
  std::vector<PolicyPort> ports;
  for (const auto& element : TRY(list.elements())) {
    ports.push_back(TRY(dialect.old ? decode_ports_element(element) : decode_protocols_element(element)));
  }
  if (ports.empty() && !list.absent()) return list.wrong("must have at least one element where it is there");
  return ports;
}

Result<Action> decode_action(const Field& rule, const Dialect& dialect) {
  const auto field = TRY(rule.at("action"));
  TRY(field.required_text());
  std::vector<std::pair<const char*, Action>> words{{dialect.old ? "Allow" : "Accept", Action::kAccept},
                                                    {"Deny", Action::kDeny}};
  if (!dialect.baseline) words.emplace_back("Pass", Action::kPass);
  return decode_choice(field, words, Action::kDeny);
}

ClusterPeer everyone() { return ClusterNetworks{{*Prefix::parse("0.0.0.0/0"), *Prefix::parse("::/0")}}; }

Result<ClusterRule> decode_rule(const Field& field, const Dialect& dialect, bool egress,
                                std::vector<std::string>& warnings) {
  ClusterRule rule;
  const auto name = TRY(field.at("name"));
  rule.name = TRY(name.text());
  if (rule.name.size() > kMaxRuleName) return name.wrong("is longer than 100 characters");
  rule.action = TRY(decode_action(field, dialect));
  rule.ports = TRY(decode_ports(field, dialect));
  const auto peers = TRY(field.at(egress ? "to" : "from"));
  const auto elements = TRY(peers.elements());
  if (elements.empty()) return peers.wrong("must have at least one peer");
  bool closed = false;
  for (const auto& element : elements) {
    auto peer = TRY(decode_peer(element, egress));
    if (peer) {
      rule.peers.push_back(std::move(*peer));
      continue;
    }
    const bool accepts = rule.action == Action::kAccept;
    warnings.push_back(element
                           .wrong(accepts ? "is a peer of a kind that is not known: it matches nobody"
                                          : "is a peer of a kind that is not known: the rule denies everything")
                           .message);
    closed |= !accepts;
  }
  if (closed) return ClusterRule{.name = rule.name, .action = Action::kDeny, .peers = {everyone()}, .ports = {}};
  return rule;
}

}  // namespace

Result<ClusterPolicy> decode_cluster_policy(const Field& document, Object& object) {
  using Tier = ClusterPolicy::Tier;
  const Dialect dialect{.old = object.id.kind != "ClusterNetworkPolicy",
                        .baseline = object.id.kind == "BaselineAdminNetworkPolicy"};
  ClusterPolicy policy;
  const auto spec = TRY(document.at("spec"));
  if (dialect.baseline && object.id.name != "default") {
    return TRY(TRY(document.at("metadata")).at("name")).wrong("must be default for a BaselineAdminNetworkPolicy");
  }
  policy.tier = dialect.baseline ? Tier::kBaseline : Tier::kAdmin;
  policy.priority = kAfterAllPriorities;
  if (!dialect.old) {
    const auto tier = TRY(spec.at("tier"));
    TRY(tier.required_text());
    policy.tier = TRY(decode_choice(tier, {{"Admin", Tier::kAdmin}, {"Baseline", Tier::kBaseline}}, Tier::kAdmin));
  }
  if (!dialect.baseline) {
    const auto priority = TRY(spec.at("priority"));
    if (priority.absent()) return priority.wrong("is missing");
    policy.priority = static_cast<std::uint16_t>(TRY(priority.integer(0, 1000)));
  }
  policy.subject = TRY(decode_subject(TRY(spec.at("subject"))));
  for (const auto& element : TRY(TRY(spec.at("ingress")).elements())) {
    policy.ingress.push_back(TRY(decode_rule(element, dialect, false, object.warnings)));
  }
  for (const auto& element : TRY(TRY(spec.at("egress")).elements())) {
    policy.egress.push_back(TRY(decode_rule(element, dialect, true, object.warnings)));
  }
  return policy;
}

}  // namespace sluice::loader::kube
