#include "loader/kube/service.hpp"

#include <optional>

#include "loader/kube/decode.hpp"
#include "loader/kube/names.hpp"

namespace sluice::loader::kube {

namespace {

using Type = Service::Type;
using HandsOff = Service::HandsOff;

constexpr std::uint32_t kDefaultAffinitySeconds = 10800;
constexpr std::uint32_t kMaxAffinitySeconds = 86400;

bool has_node_ports(Type type) { return type == Type::kNodePort || type == Type::kLoadBalancer; }

/// clusterIP and clusterIPs: addresses, none, or the word None for a headless service.
Result<void> decode_cluster_ips(const Field& spec, Service& service) {
  auto all = TRY(TRY(spec.at("clusterIPs")).elements());
  const auto single = TRY(spec.at("clusterIP"));
  const auto first = TRY(single.text());
  if (all.empty() && !first.empty()) all.push_back(single);
  if (!all.empty() && !first.empty() && TRY(all.front().text()) != first) {
    return single.wrong("must be the first of clusterIPs");
  }
  for (const auto& element : all) {
    if (TRY(element.text()) == "None") {
      if (all.size() > 1) return element.wrong("None must stand alone");
      service.hands_off = HandsOff::kHeadless;
      return {};
    }
    const auto address = TRY(parsed<Address>(element));
    if (has_family(service.cluster_ips, address)) return element.wrong("there can be only one of each family");
    service.cluster_ips.push_back(address);
  }
  return {};
}

/// ipFamilies and ipFamilyPolicy must agree with the addresses, and that is all they have to say here.
Result<void> check_families(const Field& spec, const Service& service) {
  const auto policy = TRY(spec.at("ipFamilyPolicy"));
  const int most = TRY(decode_choice(policy, {{"SingleStack", 1}, {"PreferDualStack", 2}, {"RequireDualStack", 2}}, 2));
  if (service.cluster_ips.size() > static_cast<std::size_t>(most)) {
    return policy.wrong("SingleStack allows one of clusterIPs only");
  }
  const auto families = TRY(TRY(spec.at("ipFamilies")).elements());
  for (std::size_t i = 0; i < families.size(); ++i) {
    const bool v4 = TRY(decode_choice(families[i], {{"IPv4", true}, {"IPv6", false}}, true));
    if (i < service.cluster_ips.size() && service.cluster_ips[i].is_v4() != v4) {
      return families[i].wrong("clusterIPs[" + std::to_string(i) + "] is not of this family");
    }
  }
  return {};
}

Result<ServicePort> decode_service_port(const Field& field, Type type) {
  ServicePort port;
  const auto name = TRY(field.at("name"));
  port.name = TRY(name.text());
  if (!port.name.empty() && !is_dns_label(port.name)) return name.wrong("\"" + port.name + "\" is not a port's name");
  port.protocol = TRY(decode_protocol(TRY(field.at("protocol"))));
  port.port = TRY(decode_port(TRY(field.at("port"))));
  port.target = TRY(decode_port_ref(TRY(field.at("targetPort")), {.number = port.port, .name = ""}));
  const auto node_port = TRY(field.at("nodePort"));
  port.node_port = TRY(decode_optional_port(node_port));
  if (port.node_port != 0 && !has_node_ports(type)) {
    return node_port.wrong("needs the type NodePort or LoadBalancer");
  }
  return port;
}

Result<void> check_unique(const Field& field, const ServicePort& port, const std::vector<ServicePort>& others) {
  for (const auto& other : others) {
    if (port.name == other.name) return field.wrong("the name \"" + port.name + "\" is another port's too");
    if (port.protocol != other.protocol) continue;
    if (port.port == other.port) return field.wrong("the port is there twice");
    if (port.node_port != 0 && port.node_port == other.node_port) return field.wrong("the nodePort is there twice");
  }
  return {};
}

Result<void> decode_ports(const Field& spec, Service& service) {
  const auto list = TRY(spec.at("ports"));
  const auto elements = TRY(list.elements());
  for (const auto& element : elements) {
    auto port = TRY(decode_service_port(element, service.type));
    if (port.name.empty() && elements.size() > 1) return TRY(element.at("name")).wrong("is missing");
    TRY(check_unique(element, port, service.ports));
    service.ports.push_back(std::move(port));
  }
  if (elements.empty() && service.hands_off == HandsOff::kNo) return list.wrong("is missing");
  return {};
}

Result<void> decode_affinity(const Field& spec, Service& service) {
  const bool by_client =
      TRY(decode_choice(TRY(spec.at("sessionAffinity")), {{"None", false}, {"ClientIP", true}}, false));
  const auto client = TRY(TRY(spec.at("sessionAffinityConfig")).at("clientIP"));
  const auto seconds = TRY(client.at("timeoutSeconds"));
  if (!by_client && !seconds.absent()) return seconds.wrong("needs sessionAffinity ClientIP");
  if (!by_client) return {};
  service.affinity_seconds = seconds.absent()
                                 ? kDefaultAffinitySeconds
                                 : static_cast<std::uint32_t>(TRY(seconds.integer(1, kMaxAffinitySeconds)));
  return {};
}

Result<void> decode_traffic_policies(const Field& spec, Service& service) {
  using Policy = Service::TrafficPolicy;
  const std::vector<std::pair<const char*, Policy>> words{{"Cluster", Policy::kCluster}, {"Local", Policy::kLocal}};
  service.internal_policy = TRY(decode_choice(TRY(spec.at("internalTrafficPolicy")), words, Policy::kCluster));
  const auto external = TRY(spec.at("externalTrafficPolicy"));
  service.external_policy = TRY(decode_choice(external, words, Policy::kCluster));
  if (!TRY(external.text()).empty() && !has_node_ports(service.type) && service.external_ips.empty()) {
    return external.wrong("needs the type NodePort or LoadBalancer, or externalIPs");
  }
  const auto health = TRY(spec.at("healthCheckNodePort"));
  service.health_check_node_port = TRY(decode_optional_port(health));
  if (service.health_check_node_port != 0 &&
      (service.type != Type::kLoadBalancer || service.external_policy != Policy::kLocal)) {
    return health.wrong("needs the type LoadBalancer and externalTrafficPolicy Local");
  }
  using Distribution = Service::Distribution;
  service.distribution = TRY(decode_choice(TRY(spec.at("trafficDistribution")),
                                           {{"PreferClose", Distribution::kSameZone},
                                            {"PreferSameZone", Distribution::kSameZone},
                                            {"PreferSameNode", Distribution::kSameNode}},
                                           Distribution::kAnywhere));
  return {};
}

Result<void> decode_load_balancer(const Field& document, const Field& spec, Service& service) {
  const auto ranges = TRY(spec.at("loadBalancerSourceRanges"));
  for (const auto& element : TRY(ranges.elements())) {
    if (service.type != Type::kLoadBalancer) return ranges.wrong("needs the type LoadBalancer");
    service.source_ranges.push_back(TRY(decode_cidr(element)));
  }
  if (service.type != Type::kLoadBalancer) return {};
  service.load_balancer_class = TRY(TRY(spec.at("loadBalancerClass")).text());
  const auto balancer = TRY(TRY(document.at("status")).at("loadBalancer"));
  for (const auto& element : TRY(TRY(balancer.at("ingress")).elements())) {
    const auto ip = TRY(element.at("ip"));
    if (TRY(ip.text()).empty()) continue;  // a host name, which somebody else makes reach the service
    const bool proxied = TRY(decode_choice(TRY(element.at("ipMode")), {{"VIP", false}, {"Proxy", true}}, false));
    (proxied ? service.proxied_ips : service.load_balancer_ips).push_back(TRY(parsed<Address>(ip)));
  }
  return {};
}

HandsOff hands_off_by_label(const Labels& labels) {
  if (labels.contains("service.kubernetes.io/service-proxy-name")) return HandsOff::kOtherProxy;
  if (labels.contains("service.kubernetes.io/headless")) return HandsOff::kHeadlessLabel;
  return HandsOff::kNo;
}

}  // namespace

Result<Service> decode_service(const Field& document, const Object& object) {
  Service service;
  const auto spec = TRY(document.at("spec"));
  service.type = TRY(decode_choice(TRY(spec.at("type")),
                                   {{"ClusterIP", Type::kClusterIp},
                                    {"NodePort", Type::kNodePort},
                                    {"LoadBalancer", Type::kLoadBalancer},
                                    {"ExternalName", Type::kExternalName}},
                                   Type::kClusterIp));
  TRY(decode_cluster_ips(spec, service));
  TRY(check_families(spec, service));
  if (service.hands_off == HandsOff::kHeadless && has_node_ports(service.type)) {
    return TRY(spec.at("clusterIP")).wrong("cannot be None with the type NodePort or LoadBalancer");
  }
  if (service.type == Type::kExternalName) {
    TRY(TRY(spec.at("externalName")).required_text());
    if (!service.cluster_ips.empty())
      return TRY(spec.at("clusterIPs")).wrong("must be empty with the type ExternalName");
    service.hands_off = HandsOff::kExternalName;
  }
  TRY(decode_ports(spec, service));
  service.selector = TRY(TRY(spec.at("selector")).text_map());
  for (const auto& element : TRY(TRY(spec.at("externalIPs")).elements())) {
    service.external_ips.push_back(TRY(decode_usable_address(element)));
  }
  TRY(decode_affinity(spec, service));
  TRY(decode_traffic_policies(spec, service));
  service.publish_not_ready = TRY(TRY(spec.at("publishNotReadyAddresses")).boolean());
  TRY(decode_load_balancer(document, spec, service));
  if (service.hands_off == HandsOff::kNo) service.hands_off = hands_off_by_label(object.labels);
  return service;
}

}  // namespace sluice::loader::kube
