#include "loader/kube/pod.hpp"

#include "loader/kube/decode.hpp"
#include "loader/kube/names.hpp"

namespace sluice::loader::kube {

namespace {

Result<ContainerPort> decode_container_port(const Field& field, bool host_network) {
  ContainerPort port;
  const auto name = TRY(field.at("name"));
  port.name = TRY(name.text());
  if (!port.name.empty() && !is_port_name(port.name)) return name.wrong("\"" + port.name + "\" is not a port's name");
  port.protocol = TRY(decode_protocol(TRY(field.at("protocol"))));
  port.port = TRY(decode_port(TRY(field.at("containerPort"))));
  const auto host_port = TRY(field.at("hostPort"));
  port.host_port = TRY(decode_optional_port(host_port));
  if (host_network && port.host_port != 0 && port.host_port != port.port) {
    return host_port.wrong("must be the same as containerPort with hostNetwork");
  }
  if (host_network) port.host_port = 0;
  const auto host_ip = TRY(field.at("hostIP"));
  if (port.host_port == 0 || TRY(host_ip.text()).empty()) return port;
  const auto address = TRY(parsed<Address>(host_ip));
  if (address != *Address::parse("0.0.0.0") && address != Address()) port.host_ip = address;
  return port;
}

Result<void> add_ports(const Field& container, Pod& pod) {
  for (const auto& element : TRY(TRY(container.at("ports")).elements())) {
    pod.ports.push_back(TRY(decode_container_port(element, pod.host_network)));
  }
  return {};
}

Result<std::vector<Address>> decode_ips(const Field& status) {
  std::vector<Address> ips;
  for (const auto& element : TRY(TRY(status.at("podIPs")).elements())) {
    const auto ip = TRY(element.at("ip"));
    ips.push_back(TRY(parsed<Address>(ip)));
    if (has_family({ips.begin(), ips.end() - 1}, ips.back())) return ip.wrong("there can be only one of each family");
  }
  const auto single = TRY(status.at("podIP"));
  if (TRY(single.text()).empty()) return ips;
  const auto ip = TRY(parsed<Address>(single));
  if (ips.empty()) ips.push_back(ip);
  if (ip != ips.front()) return single.wrong("must be the first of podIPs");
  return ips;
}

}  // namespace

Result<Pod> decode_pod(const Field& document) {
  Pod pod;
  pod.deleting = !TRY(TRY(document.at("metadata")).at("deletionTimestamp")).absent();
  const auto spec = TRY(document.at("spec"));
  const auto node_name = TRY(spec.at("nodeName"));
  pod.node_name = TRY(node_name.text());
  if (!pod.node_name.empty() && !is_dns_subdomain(pod.node_name)) return node_name.wrong("is not the name of a node");
  pod.host_network = TRY(TRY(spec.at("hostNetwork")).boolean());
  for (const auto& container : TRY(TRY(spec.at("containers")).elements())) TRY(add_ports(container, pod));
  for (const auto& container : TRY(TRY(spec.at("initContainers")).elements())) {
    if (TRY(TRY(container.at("restartPolicy")).text()) == "Always") TRY(add_ports(container, pod));
  }

  const auto status = TRY(document.at("status"));
  pod.ips = TRY(decode_ips(status));
  pod.phase = TRY(decode_choice(TRY(status.at("phase")),
                                {{"Pending", Pod::Phase::kPending},
                                 {"Running", Pod::Phase::kRunning},
                                 {"Succeeded", Pod::Phase::kSucceeded},
                                 {"Failed", Pod::Phase::kFailed},
                                 {"Unknown", Pod::Phase::kUnknown}},
                                Pod::Phase::kPending));
  pod.ready = TRY(decode_condition(status, "Ready", false));
  return pod;
}

}  // namespace sluice::loader::kube
