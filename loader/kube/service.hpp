#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "loader/kube/port.hpp"
#include "maps/address.hpp"

namespace sluice::loader::kube {

struct ServicePort {
  std::string name;  ///< what the ports of EndpointSlices are matched by; may be empty where there is one port only
  Protocol protocol = Protocol::kTcp;
  std::uint16_t port = 0;
  PortRef target;               ///< spec.ports[].targetPort, else the port's own number
  std::uint16_t node_port = 0;  ///< 0: none
  bool operator==(const ServicePort&) const = default;
};

/// v1 Service.
struct Service {
  enum class Type : std::uint8_t { kClusterIp, kNodePort, kLoadBalancer, kExternalName };
  enum class TrafficPolicy : std::uint8_t { kCluster, kLocal };
  /// spec.trafficDistribution; PreferClose is the older name of PreferSameZone.
  enum class Distribution : std::uint8_t { kAnywhere, kSameZone, kSameNode };
  /// Why a service proxy has nothing to do with this service. The last two are the labels
  /// service.kubernetes.io/headless and service.kubernetes.io/service-proxy-name, with whatever value.
  enum class HandsOff : std::uint8_t { kNo, kHeadless, kExternalName, kHeadlessLabel, kOtherProxy };

  Type type = Type::kClusterIp;
  HandsOff hands_off = HandsOff::kNo;
  std::vector<Address> cluster_ips;  ///< at most one of each family; empty: headless, or none given out yet
  std::vector<ServicePort> ports;
  std::map<std::string, std::string> selector;  ///< empty: slices are written by somebody else
  std::vector<Address> external_ips;
  TrafficPolicy internal_policy = TrafficPolicy::kCluster;  ///< for cluster_ips only
  TrafficPolicy external_policy = TrafficPolicy::kCluster;  ///< for node ports, load balancer and external addresses
  std::uint32_t affinity_seconds = 0;                       ///< sessionAffinity ClientIP; 0: None
  std::uint16_t health_check_node_port = 0;                 ///< 0: none
  Distribution distribution = Distribution::kAnywhere;
  bool publish_not_ready = false;          ///< spec.publishNotReadyAddresses: every endpoint counts as ready
  std::vector<Prefix> source_ranges;       ///< who may use load_balancer_ips, host bits zero; empty: everyone
  std::string load_balancer_class;         ///< empty: the cluster's default
  std::vector<Address> load_balancer_ips;  ///< status.loadBalancer.ingress[].ip with ipMode VIP
  std::vector<Address> proxied_ips;        ///< the same with ipMode Proxy: packets must go out to the load balancer
  bool operator==(const Service&) const = default;
};

}  // namespace sluice::loader::kube
