/// Why each endpoint of a Service is used on this node or not: the agent's own choice
/// (loader/state/service/choice.hpp), made again over the objects in the node's folder, beside what the maps say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "loader/observe/flows.hpp"
#include "loader/observe/services.hpp"
#include "loader/root.hpp"
#include "maps/result.hpp"

namespace sluice::loader::observe {

/// One endpoint, for one port of the Service.
struct EndpointChoice {
  std::string port;  ///< the Service's: its name, else its number
  std::uint8_t proto = 0;
  FlowEnd end;
  std::string pod, node, zone;  ///< as its slice has them; may be empty
  unsigned weight = 1;
  std::string condition;                     ///< "ready", "serving, terminating", "not ready"
  std::string cluster;                       ///< why it is used where the traffic policy is Cluster, or why not
  std::optional<std::string> local;          ///< the same for Local, where the Service has that policy
  std::optional<maps::backend_state> state;  ///< in the maps; nullopt: they do not have it
};

struct ServiceChoice {
  std::string service;  ///< "default/web"
  std::string type, internal_policy, external_policy;
  std::string algorithm;   ///< "random" or "maglev"
  std::string left_alone;  ///< why Services of this kind are not balanced; empty: it is
  std::vector<std::string> warnings;
  state::service::Here here;
  std::vector<EndpointChoice> endpoints;
};

/// `port`: a name or a number of the Service's ports; empty: all of them. ENOENT: no agent has written down which node
/// this is, or there is no such Service or port among the objects.
Result<ServiceChoice> service_choice(const Root& root, const std::string& ns, const std::string& name,
                                     const std::string& port);

}  // namespace sluice::loader::observe
