#include "tests/lab/plan.hpp"

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <set>

namespace sluice::lab {

namespace {

using loader::kube::Object;

Error wrong(const Object& object, const std::string& what) { return refuse(EINVAL, object.id.text() + ": " + what); }

bool overlap(const Prefix& one, const Prefix& other) {
  return one.address.is_v4() == other.address.is_v4() && (one.contains(other.first()) || other.contains(one.first()));
}

/// What of two nodes collides; empty: nothing.
std::string collision(const NodeRecord& one, const NodeRecord& other) {
  for (const auto& address : one.addresses) {
    if (std::find(other.addresses.begin(), other.addresses.end(), address) != other.addresses.end()) {
      return "address " + address.text();
    }
  }
  for (const auto& cidr : one.pod_cidrs) {
    for (const auto& their_cidr : other.pod_cidrs) {
      if (overlap(cidr, their_cidr)) return "pod CIDR " + cidr.text();
    }
  }
  return {};
}

/// The JSON object that an annotation holds, as text; empty: it is not there.
Result<std::string> json_annotation(const Object& object, const char* name) {
  const auto annotation = object.annotations.find(name);
  if (annotation == object.annotations.end()) return std::string();
  if (!nlohmann::json::parse(annotation->second, nullptr, false).is_object()) {
    return wrong(object, std::string("metadata.annotations.") + name + ": must be a JSON object");
  }
  return annotation->second;
}

template <typename Record, typename Key>
const Record* find(const std::vector<Record>& records, Key Record::*key, const Key& value) {
  const auto found = std::find_if(records.begin(), records.end(), [&](const Record& r) { return r.*key == value; });
  return found == records.end() ? nullptr : &*found;
}

Result<NodeRecord> plan_node(const Object& object, const std::vector<NodeRecord>& known) {
  const auto& node = std::get<loader::kube::Node>(object.body);
  if (object.id.name == "underlay") return wrong(object, "this name is taken by the lab's underlay");
  if (node.internal_addresses.empty()) return wrong(object, "status.addresses has no InternalIP");
  NodeRecord record{.name = object.id.name, .addresses = node.internal_addresses, .pod_cidrs = node.pod_cidrs};
  record.config = TRY(json_annotation(object, kNodeConfigAnnotation));
  for (const auto& other : known) {
    if (other.name == record.name) continue;
    if (const auto what = collision(record, other); !what.empty()) {
      return wrong(object, what + " belongs to Node " + other.name + " too");
    }
  }
  if (const auto* present = find(known, &NodeRecord::name, record.name);
      present != nullptr && present->ready && !present->same_object(record)) {
    return wrong(object,
                 "addresses, pod CIDRs and configuration of a Node that is there cannot change; delete it first");
  }
  return record;
}

/// What a runtime makes of a Pod's host ports, added to the keys of the plugin's configuration.
std::string with_host_ports(const std::string& plugin_config, const std::vector<loader::kube::ContainerPort>& ports) {
  auto mappings = nlohmann::json::array();
  for (const auto& port : ports)
    if (port.host_port != 0)
      mappings.push_back({{"hostPort", port.host_port},
                          {"containerPort", port.port},
                          {"protocol", text(port.protocol)},
                          {"hostIP", port.host_ip ? port.host_ip->text() : ""}});
  if (mappings.empty()) return plugin_config;
  auto config = plugin_config.empty() ? nlohmann::json::object() : nlohmann::json::parse(plugin_config);
  config["runtimeConfig"]["portMappings"] = std::move(mappings);
  return config.dump();
}

Result<PodRecord> plan_pod(const Object& object, const std::vector<NodeRecord>& nodes,
                           const std::vector<PodRecord>& known) {
  const auto& pod = std::get<loader::kube::Pod>(object.body);
  if (pod.node_name.empty()) return wrong(object, "spec.nodeName: is missing, and the lab has no scheduler");
  if (find(nodes, &NodeRecord::name, pod.node_name) == nullptr) {
    return wrong(object, "spec.nodeName: there is no Node " + pod.node_name);
  }
  PodRecord record{.pod = {object.id.ns, object.id.name}, .node = pod.node_name, .host_network = pod.host_network};
  record.plugin_config = with_host_ports(TRY(json_annotation(object, kPluginConfigAnnotation)), pod.ports);
  if (const auto* present = find(known, &PodRecord::pod, record.pod);
      present != nullptr && present->ready && !present->same_object(record)) {
    return wrong(object, "node and network of a Pod that is there cannot change; delete it first");
  }
  return record;
}

}  // namespace

Result<Plan> make_plan(const std::vector<Object>& objects, const std::vector<NodeRecord>& nodes,
                       const std::vector<PodRecord>& pods) {
  Plan plan;
  std::vector<NodeRecord> all_nodes = nodes;
  std::set<loader::kube::ObjectId> seen;
  for (const auto& object : objects) {
    if (!seen.insert(object.id).second) return wrong(object, "is there twice");
    if (!std::holds_alternative<loader::kube::Node>(object.body)) continue;
    plan.nodes.push_back({TRY(plan_node(object, all_nodes)), object});
    std::erase_if(all_nodes, [&](const NodeRecord& other) { return other.name == object.id.name; });
    all_nodes.push_back(plan.nodes.back().record);
  }
  for (const auto& object : objects) {
    if (std::holds_alternative<loader::kube::Pod>(object.body)) {
      plan.pods.push_back({TRY(plan_pod(object, all_nodes, pods)), object});
    } else if (!std::holds_alternative<loader::kube::Node>(object.body)) {
      plan.others.push_back(object);
    }
  }
  return plan;
}

}  // namespace sluice::lab
