/// A part of the agent's work on objects: from some kinds of them to some maps. Parts know nothing of each other; each
/// fails, and is tried again, by itself.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "loader/agent/http.hpp"
#include "loader/config.hpp"
#include "loader/root.hpp"
#include "loader/state/cluster.hpp"
#include "maps/result.hpp"

namespace sluice::loader::agent {

struct Applied {
  std::size_t compiled = 0;                ///< objects that were looked at anew
  std::size_t written = 0;                 ///< elements of maps
  std::vector<std::string> warnings = {};  ///< what of it could not be done, a sentence each
};

class Part {
 public:
  Part() = default;
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;
  virtual ~Part() = default;

  /// "services": its name in the log and in agent.json.
  [[nodiscard]] virtual const char* name() const = 0;
  /// Brings the maps to what the objects say. `changed` names those that came since the last success; the first call
  /// takes all of the cluster. `config` says which node this is. An error changes nothing that was in force.
  virtual Result<Applied> apply(const state::Cluster& cluster, const std::vector<kube::ObjectId>& changed,
                                const NodeConfig& config) = 0;
  /// The datapath was loaded anew: its maps are empty.
  virtual void maps_are_new() = 0;
  /// Once in a while, before `apply`: somebody may have changed what this part has put in place outside of the maps.
  virtual void look_again() {}
  /// Pods were attached to this node, or taken off it.
  virtual void pods_changed() {}
  /// What may wait until the changes are in force, such as what people read of them. Called soon after `apply`.
  virtual void write_down() {}
};

/// Nodes: where tunnels to them end, and the routes to their pods. Does nothing with the mode none.
std::unique_ptr<Part> nodes_part(const Root& root);

/// Services and EndpointSlices, with this node's Node.
std::unique_ptr<Part> services_part(const Root& root);
/// The answers to load balancers that ask whether this node has endpoints (spec.healthCheckNodePort). `servers` lives
/// longer.
std::unique_ptr<Part> health_checks_part(HttpServers& servers);

/// What BIRD announces for this node. Does nothing where the configuration has no bgp.
std::unique_ptr<Part> bgp_part(const Root& root);

/// Policies with the Pods, Namespaces and Nodes that they are about, and the pods that are attached here.
std::unique_ptr<Part> policies_part(const Root& root);

}  // namespace sluice::loader::agent
