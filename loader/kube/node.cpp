#include "loader/kube/node.hpp"

#include "loader/kube/decode.hpp"

namespace sluice::loader::kube {

namespace {

Result<std::vector<Prefix>> decode_pod_cidrs(const Field& spec) {
  std::vector<Prefix> cidrs;
  const auto list = TRY(spec.at("podCIDRs"));
  for (const auto& element : TRY(list.elements())) {
    const auto cidr = TRY(parsed<Prefix>(element));
    if (cidr.address != cidr.first()) return element.wrong(cidr.text() + " has bits set beyond its prefix length");
    if (has_family(cidrs, cidr)) return element.wrong("there can be only one of each family");
    cidrs.push_back(cidr);
  }
  const auto single = TRY(spec.at("podCIDR"));
  if (cidrs.empty() && !single.absent() && !TRY(single.text()).empty()) cidrs.push_back(TRY(parsed<Prefix>(single)));
  return cidrs;
}

}  // namespace

Result<Node> decode_node(const Field& document, const Object& object) {
  Node node;
  node.pod_cidrs = TRY(decode_pod_cidrs(TRY(document.at("spec"))));
  const auto status = TRY(document.at("status"));
  for (const auto& element : TRY(TRY(status.at("addresses")).elements())) {
    const auto type = TRY(TRY(element.at("type")).required_text());
    if (type != "InternalIP" && type != "ExternalIP") continue;
    auto& addresses = type == "InternalIP" ? node.internal_addresses : node.external_addresses;
    addresses.push_back(TRY(parsed<Address>(TRY(element.at("address")))));
  }
  if (const auto zone = object.labels.find("topology.kubernetes.io/zone"); zone != object.labels.end()) {
    node.zone = zone->second;
  }
  node.ready = TRY(decode_condition(status, "Ready", true));
  node.excluded_from_load_balancers = object.labels.contains("node.kubernetes.io/exclude-from-external-load-balancers");
  return node;
}

}  // namespace sluice::loader::kube
