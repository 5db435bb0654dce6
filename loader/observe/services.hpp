/// Services as the maps have them, for people: frontends with what they choose from, and backends with their state;
/// and what the numbers stand for, as the agent has written it down. Reads; changes nothing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "loader/observe/flows.hpp"
#include "loader/root.hpp"
#include "loader/state/service/record.hpp"
#include "maps/result.hpp"
#include "maps/service.h"

namespace sluice::loader::observe {

/// <run>/services.json, which may be half a second older than what is in force.
class ServiceNames {
 public:
  /// ENOENT: no agent has written any since the node was booted. EPROTO: it is not understood.
  static Result<ServiceNames> read(const Root& root);

  /// Null: not known.
  [[nodiscard]] const state::service::ServiceRecord* find(std::uint32_t number) const;
  [[nodiscard]] const state::service::ServiceRecord* find(const std::string& service) const;
  /// "default/web"; empty: not known.
  [[nodiscard]] std::string of(std::uint32_t number) const;
  [[nodiscard]] const state::service::Record& record() const { return record_; }

 private:
  explicit ServiceNames(state::service::Record record);

  state::service::Record record_;
  std::map<std::uint32_t, std::size_t> by_number_;
};

struct ServiceBackend {
  std::uint32_t number = 0;   ///< index into backends
  std::uint32_t service = 0;  ///< struct service.id
  FlowEnd end;
  maps::backend_state state = maps::BACKEND_GONE;
  bool local = false;  ///< a pod of this node
};

/// What a frontend chooses from: the backends with their shares of new connections, which are 1 together. Empty: there
/// is nothing to choose.
using BackendShares = std::map<std::uint32_t, double>;

struct ServiceFrontend {
  std::uint32_t service = 0;  ///< struct service.id
  FlowEnd end;
  std::uint8_t proto = 0;   ///< IPPROTO_*
  std::uint32_t flags = 0;  ///< SERVICE_*
  std::uint32_t affinity_seconds = 0;
  std::uint32_t port_index = 0;
  BackendShares inside, outside;  ///< of clients in the cluster, and of others where SERVICE_OUTSIDE
};

struct ServiceMaps {
  std::vector<ServiceFrontend> frontends;            ///< by Service, address and port
  std::map<std::uint32_t, ServiceBackend> backends;  ///< by number
  /// ENOENT: no datapath is loaded.
  static Result<ServiceMaps> read(const Root& root);
};

/// "ClusterIP", "NodePort", "LoadBalancer", "ExternalIP", "HostPort"; without a record what the flags tell: one of the
/// first two, or "External".
std::string frontend_type(const ServiceFrontend& frontend, const state::service::ServiceRecord* record);
/// "Cluster" or "Local": the traffic policy that the frontend goes by; empty: not known.
std::string frontend_policy(const ServiceFrontend& frontend, const state::service::ServiceRecord* record);

}  // namespace sluice::loader::observe
