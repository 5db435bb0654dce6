#include "loader/observe/cluster_names.hpp"

#include <cerrno>

#include "loader/kube/folder_source.hpp"

namespace sluice::loader::observe {

Result<ClusterNames> ClusterNames::read(const Root& root) {
  ClusterNames names(TRY(PodNames::read(root)));
  const auto source = TRY(kube::FolderSource::open(root.objects(), root.state() / "objects"));
  for (const kube::Change& change : TRY(source->take()).changes)
    if (change.object) names.take(*change.object);
  return names;
}

void ClusterNames::take(const kube::Object& object) {
  const std::string name = object.id.ns + "/" + object.id.name;
  if (const auto* pod = std::get_if<kube::Pod>(&object.body); pod != nullptr && !pod->ended()) {
    pods_elsewhere_[name] = pod->ips;
    if (pod->host_network) return;  // its addresses are the node's
    for (const Address& ip : pod->ips) by_address_[ip] = name;
  } else if (const auto* node = std::get_if<kube::Node>(&object.body)) {
    for (const auto* list : {&node->internal_addresses, &node->external_addresses})
      for (const Address& ip : *list) by_address_[ip] = "node " + object.id.name;
  } else if (const auto* service = std::get_if<kube::Service>(&object.body)) {
    services_[name] = service->cluster_ips;
    for (const kube::ServicePort& port : service->ports) {
      const auto proto = static_cast<std::uint8_t>(port.protocol);
      for (const auto* list : {&service->cluster_ips, &service->external_ips, &service->load_balancer_ips})
        for (const Address& ip : *list) frontends_[{ip, port.port, proto}] = name;
      if (port.node_port != 0) node_ports_[{port.node_port, proto}] = name;
    }
  }
}

std::string ClusterNames::of(const Address& address) const {
  if (std::string here = pods_.of(address); !here.empty()) return here;
  const auto found = by_address_.find(address);
  return found != by_address_.end() ? found->second : "";
}

std::string ClusterNames::service(const Address& address, std::uint16_t port, std::uint8_t proto) const {
  const auto frontend = frontends_.find({address, port, proto});
  if (frontend != frontends_.end()) return frontend->second;
  const auto node_port = node_ports_.find({port, proto});
  return node_port != node_ports_.end() ? node_port->second : "";
}

Result<std::vector<Address>> ClusterNames::addresses(const PodName& name) const {
  std::vector<Address> of_pod;
  if (const auto here = pods_.attachments_of(name))
    for (const auto& attachment : *here)
      of_pod.insert(of_pod.end(), attachment.addresses.begin(), attachment.addresses.end());
  const auto elsewhere = pods_elsewhere_.find(name.text());
  if (of_pod.empty() && elsewhere != pods_elsewhere_.end()) of_pod = elsewhere->second;
  const auto service = services_.find(name.text());
  const bool has_service = service != services_.end() && !service->second.empty();
  if (!of_pod.empty() && has_service)
    return refuse(EINVAL, name.text() + " is a pod and a Service: say which by an address, " + of_pod.front().text() +
                              " or " + service->second.front().text());
  if (!of_pod.empty()) return of_pod;
  if (has_service) return service->second;
  return refuse(ENOENT, "no pod " + name.text() +
                            " on this node, and no pod or Service of this name with an address "
                            "among its objects: `bpfctl endpoint list` shows this node's pods");
}

}  // namespace sluice::loader::observe
