#include "loader/state/service/record.hpp"

#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

namespace sluice::loader::state::service {
namespace {

using nlohmann::json;

json texts(const std::vector<Address>& addresses) {
  json all = json::array();
  for (const Address& address : addresses) all.push_back(address.text());
  return all;
}

std::vector<Address> addresses(const json& texts) {
  std::vector<Address> all;
  for (const std::string text : texts)
    if (const auto address = Address::parse(text)) all.push_back(*address);
  return all;
}

std::string text_of(const kube::ObjectId& id, const kube::Service& service, std::uint32_t number) {
  json ports = json::array();
  for (const kube::ServicePort& port : service.ports) ports.push_back(port.name);
  return json{{"service", id.ns + '/' + id.name},
              {"number", number},
              {"type", type_name(service.type)},
              {"ports", ports},
              {"internal", policy_name(service.internal_policy)},
              {"external", policy_name(service.external_policy)},
              {"externalIPs", texts(service.external_ips)},
              {"loadBalancerIPs", texts(service.load_balancer_ips)}}
      .dump();
}

Record record_of(const json& text) {
  Record record{{text.at("node"), text.at("zone")}, {}};
  for (const json& one : text.at("services"))
    record.services.push_back({one.at("service"), one.at("number"), one.at("type"), one.at("ports"), one.at("internal"),
                               one.at("external"), addresses(one.at("externalIPs")),
                               addresses(one.at("loadBalancerIPs"))});
  return record;
}

}  // namespace

const char* type_name(kube::Service::Type type) {
  using Type = kube::Service::Type;
  switch (type) {
    case Type::kClusterIp:
      return "ClusterIP";
    case Type::kNodePort:
      return "NodePort";
    case Type::kLoadBalancer:
      return "LoadBalancer";
    case Type::kExternalName:
      break;
  }
  return "ExternalName";
}

const char* policy_name(kube::Service::TrafficPolicy policy) {
  return policy == kube::Service::TrafficPolicy::kLocal ? "Local" : "Cluster";
}

std::filesystem::path record_file(const Root& root) { return root.run() / "services.json"; }

Result<Record> parse_record(const std::string& text) {
  try {
    return record_of(json::parse(text));
  } catch (const json::exception& error) {
    return refuse(EPROTO, error.what());
  }
}

void RecordText::put(const kube::ObjectId& id, const kube::Service* service, std::uint32_t number) {
  if (service == nullptr || number == 0) {
    changed_ |= services_.erase(id) > 0;
    return;
  }
  std::string text = text_of(id, *service, number);
  std::string& known = services_[id];
  changed_ |= known != text;
  known = std::move(text);
}

void RecordText::set_here(const Here& here) {
  changed_ |= !(here == here_);
  here_ = here;
}

void RecordText::clear() {
  services_.clear();
  changed_ = true;
}

std::string RecordText::text() {
  changed_ = false;
  std::string text = json{{"node", here_.node}, {"zone", here_.zone}}.dump();
  text.back() = ',';
  text += "\n\"services\": [";
  const char* separator = "\n";
  for (const auto& [id, one] : services_) {
    text += separator + one;
    separator = ",\n";
  }
  return text + "]}\n";
}

}  // namespace sluice::loader::state::service
