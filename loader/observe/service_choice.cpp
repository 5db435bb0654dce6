#include "loader/observe/service_choice.hpp"

#include <algorithm>
#include <cerrno>

#include "loader/config.hpp"
#include "loader/kube/folder_source.hpp"
#include "loader/state/cluster.hpp"
#include "loader/state/service/wishes.hpp"

namespace sluice::loader::observe {

namespace {

using kube::Service;
using state::service::Candidate;

const char* why_left_alone(const Service& service) {
  switch (service.hands_off) {
    case Service::HandsOff::kNo:
      return "";
    case Service::HandsOff::kHeadless:
      return "it is headless: clients find its endpoints by DNS";
    case Service::HandsOff::kExternalName:
      return "it is an ExternalName, which is DNS alone";
    case Service::HandsOff::kHeadlessLabel:
      return "it has the label service.kubernetes.io/headless";
    case Service::HandsOff::kOtherProxy:
      break;
  }
  return "it has the label service.kubernetes.io/service-proxy-name: another proxy's";
}

std::string condition_text(const Candidate& one) {
  std::string text = one.ready ? "ready" : one.serving ? "serving" : "not ready";
  if (one.terminating) text += ", terminating";
  return text;
}

std::string port_text(const kube::ServicePort& port) {
  return port.name.empty() ? std::to_string(port.port) : port.name;
}

bool is_meant(const kube::ServicePort& port, const std::string& which) {
  return which.empty() || port.name == which || std::to_string(port.port) == which;
}

std::optional<maps::backend_state> state_in(const ServiceMaps& maps, std::uint32_t service, const FlowEnd& end) {
  for (const auto& [number, one] : maps.backends)
    if (one.service == service && one.end.address == end.address && one.end.port == end.port) return one.state;
  return std::nullopt;
}

}  // namespace

Result<ServiceChoice> service_choice(const Root& root, const std::string& ns, const std::string& name,
                                     const std::string& port) {
  const auto maps = TRY(ServiceMaps::read(root));
  const auto names = TRY(ServiceNames::read(root).context("which node this is, sluiced writes down"));
  const auto source = TRY(kube::FolderSource::open(root.objects(), root.state() / "objects"));
  state::Cluster cluster;
  (void)cluster.take(TRY(source->take()));
  const std::string full_name = ns + "/" + name;
  const kube::Object* object = cluster.find({"Service", ns, name});
  if (object == nullptr)
    return refuse(ENOENT, "no Service " + full_name + " among the objects: `bpfctl service list` shows those in force");
  const auto& service = std::get<Service>(object->body);
  const auto* record = names.find(full_name);
  const std::uint32_t number = record != nullptr ? record->number : 0;
  const state::service::Here& here = names.record().here;
  const auto slices = cluster.slices(ns, name);
  const auto config = NodeConfig::read(root);
  const auto wishes = state::service::wishes_of(*object, config ? config->algorithm : Algorithm::kRandom);
  ServiceChoice choice{.service = full_name,
                       .type = state::service::type_name(service.type),
                       .internal_policy = state::service::policy_name(service.internal_policy),
                       .external_policy = state::service::policy_name(service.external_policy),
                       .algorithm = wishes.algorithm == Algorithm::kMaglev ? "maglev" : "random",
                       .left_alone = why_left_alone(service),
                       .warnings = wishes.warnings,
                       .here = here,
                       .endpoints = {}};
  const bool local = service.internal_policy == Service::TrafficPolicy::kLocal ||
                     service.external_policy == Service::TrafficPolicy::kLocal;
  if (!choice.left_alone.empty()) return choice;
  if (std::ranges::none_of(service.ports, [&](const auto& one) { return is_meant(one, port); }))
    return refuse(ENOENT, "Service " + full_name + " has no port " + port);
  for (const kube::ServicePort& one : service.ports) {
    if (!is_meant(one, port)) continue;
    for (const bool v4 : {true, false}) {
      const auto all = candidates(service, one, slices, v4, here);
      for (std::size_t i = 0; i < all.size(); i++) {
        const FlowEnd end{all[i].address, all[i].port};
        const unsigned weight = wishes.weights.of(*all[i].from);
        const auto why = [&](bool local_only) {
          const std::string text = explain(all, i, local_only, here);
          return weight == 0 && text.starts_with("used") ? "not used: its weight is 0" : text;
        };
        choice.endpoints.push_back({.port = port_text(one),
                                    .proto = static_cast<std::uint8_t>(one.protocol),
                                    .end = end,
                                    .pod = all[i].from->pod,
                                    .node = all[i].from->node_name,
                                    .zone = all[i].from->zone,
                                    .weight = weight,
                                    .condition = condition_text(all[i]),
                                    .cluster = why(false),
                                    .local = local ? std::optional(why(true)) : std::nullopt,
                                    .state = state_in(maps, number, end)});
      }
    }
  }
  return choice;
}

}  // namespace sluice::loader::observe
