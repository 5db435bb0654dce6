/// What of Services people want to read and the maps do not say: <run>/services.json, which the agent writes once a
/// change is in force, and whoever explains reads. The maps have numbers; here is what they stand for. Endpoints are
/// not in it, so that it is not written anew for each of them that comes or goes.
///
/// {"node": "node-1", "zone": "zone-a",
///  "services": [{"service": "shop/web", "number": 7, "type": "LoadBalancer", "ports": ["http", ""],
///                "internal": "Cluster", "external": "Local", "externalIPs": [], "loadBalancerIPs": ["192.0.2.9"]}]}
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "loader/kube/object.hpp"
#include "loader/root.hpp"
#include "loader/state/cluster.hpp"
#include "loader/state/service/choice.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader::state::service {

struct ServiceRecord {
  std::string service;                       ///< "namespace/name"
  std::uint32_t number = 0;                  ///< struct service.id
  std::string type;                          ///< "ClusterIP", "NodePort" or "LoadBalancer"
  std::vector<std::string> ports;            ///< their names, by struct service.port_index
  std::string internal_policy;               ///< "Cluster" or "Local", of cluster addresses
  std::string external_policy;               ///< the same of all others
  std::vector<Address> external, balancers;  ///< external IPs, and those of a load balancer
};

struct Record {
  Here here;  ///< whose agent has written it
  std::vector<ServiceRecord> services;
};

std::filesystem::path record_file(const Root& root);

/// EPROTO: not such a file.
Result<Record> parse_record(const std::string& text);

/// "LoadBalancer", as in the manifest.
const char* type_name(kube::Service::Type type);
const char* policy_name(kube::Service::TrafficPolicy policy);

/// The file as it grows with the cluster: only what has changed is put into words anew.
class RecordText {
 public:
  /// `number`: of the Service in the maps; 0: it is in none.
  void put(const kube::ObjectId& id, const kube::Service* service, std::uint32_t number);
  void set_here(const Here& here);
  /// Something has changed since the last `text`.
  [[nodiscard]] bool changed() const { return changed_; }
  std::string text();
  void clear();

 private:
  Here here_;
  std::map<kube::ObjectId, std::string> services_;
  bool changed_ = true;
};

}  // namespace sluice::loader::state::service
