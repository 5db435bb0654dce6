#include "loader/kube/endpoint_slice.hpp"

#include <algorithm>

#include "loader/kube/decode.hpp"
#include "loader/kube/names.hpp"

namespace sluice::loader::kube {

namespace {

using AddressType = EndpointSlice::AddressType;

Result<bool> condition(const Field& conditions, const std::string& name, bool absent) {
  const auto field = TRY(conditions.at(name));
  return field.absent() ? absent : TRY(field.boolean());
}

Result<std::vector<std::string>> hinted(const Field& hints, const std::string& key) {
  std::vector<std::string> names;
  for (const auto& element : TRY(TRY(hints.at(key)).elements())) {
    names.push_back(TRY(TRY(element.at("name")).required_text()));
  }
  return names;
}

Result<Endpoint> decode_endpoint(const Field& field, AddressType type) {
  Endpoint endpoint;
  const auto list = TRY(field.at("addresses"));
  const auto addresses = TRY(list.elements());
  if (addresses.empty()) return list.wrong("is missing");
  for (const auto& element : addresses) {
    const auto address = TRY(decode_usable_address(element));
    if (address.is_v4() != (type == AddressType::kIpv4)) return element.wrong("is not of the slice's addressType");
  }
  endpoint.address = TRY(parsed<Address>(addresses.front()));

  const auto conditions = TRY(field.at("conditions"));
  endpoint.ready = TRY(condition(conditions, "ready", true));
  endpoint.serving = TRY(condition(conditions, "serving", endpoint.ready));
  endpoint.terminating = TRY(condition(conditions, "terminating", false));

  endpoint.node_name = TRY(TRY(field.at("nodeName")).text());
  endpoint.zone = TRY(TRY(field.at("zone")).text());
  const auto hints = TRY(field.at("hints"));
  endpoint.for_zones = TRY(hinted(hints, "forZones"));
  endpoint.for_nodes = TRY(hinted(hints, "forNodes"));
  const auto target = TRY(field.at("targetRef"));
  if (TRY(TRY(target.at("kind")).text()) == "Pod") endpoint.pod = TRY(TRY(target.at("name")).text());
  return endpoint;
}

Result<void> decode_ports(const Field& document, EndpointSlice& slice) {
  std::vector<std::string> names;
  for (const auto& element : TRY(TRY(document.at("ports")).elements())) {
    EndpointPort port;
    const auto name = TRY(element.at("name"));
    port.name = TRY(name.text());
    if (!port.name.empty() && !is_dns_label(port.name)) return name.wrong("\"" + port.name + "\" is not a port's name");
    if (std::find(names.begin(), names.end(), port.name) != names.end()) {
      return name.wrong("\"" + port.name + "\" is another port's too");
    }
    names.push_back(port.name);
    port.protocol = TRY(decode_protocol(TRY(element.at("protocol"))));
    const auto number = TRY(element.at("port"));
    if (number.absent()) continue;
    port.port = TRY(decode_port(number));
    slice.ports.push_back(std::move(port));
  }
  return {};
}

}  // namespace

Result<EndpointSlice> decode_endpoint_slice(const Field& document, const Object& object) {
  EndpointSlice slice;
  const auto type = TRY(document.at("addressType"));
  TRY(type.required_text());
  slice.address_type = TRY(
      decode_choice(type, {{"IPv4", AddressType::kIpv4}, {"IPv6", AddressType::kIpv6}, {"FQDN", AddressType::kFqdn}},
                    AddressType::kIpv4));
  if (const auto label = object.labels.find("kubernetes.io/service-name"); label != object.labels.end()) {
    slice.service = label->second;
  }
  TRY(decode_ports(document, slice));
  const auto endpoints = TRY(TRY(document.at("endpoints")).elements());
  if (slice.address_type == AddressType::kFqdn) return slice;
  slice.endpoints.reserve(endpoints.size());
  for (const auto& element : endpoints) slice.endpoints.push_back(TRY(decode_endpoint(element, slice.address_type)));
  return slice;
}

}  // namespace sluice::loader::kube
