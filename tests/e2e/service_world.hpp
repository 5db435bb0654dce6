/// A node with an agent, three pods and a Service whose endpoints are some of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "maps/address.hpp"
#include "tests/e2e/agent.hpp"
#include "tests/e2e/cluster.hpp"
#include "tests/e2e/socket.hpp"

namespace sluice::e2e {

inline constexpr bool kFamilies[] = {true, false};  ///< "is IPv4"
inline constexpr std::uint16_t kServicePort = 80, kTargetPort = 8080;

/// The Service's address.
Address vip(bool v4);

/// The Service default/web, TCP and UDP in both families. `extra` are lines of its spec, indented by two.
std::string service_yaml(const std::string& extra = {});
/// Its slices, one for each family, with these pods as endpoints.
std::string slices_yaml(const std::vector<const Place*>& endpoints);

struct World {
  /// `node_annotation`: a line of the Node's metadata.
  explicit World(const std::string& node_annotation = {});

  void apply(const std::string& yaml) const;
  /// The pod that answers a new connection of `client` to the Service, by where it arrives. `hooks`: the client's
  /// control group is that of its place, so that it has the hooks of sockets.
  [[nodiscard]] std::string answers(const Place& client, bool v4, bool hooks = false) const;

  Cluster cluster;
  Place client = cluster.pod("client"), web = cluster.pod("web"), two = cluster.pod("two");
  Agent agent{cluster, "node-1"};
};

}  // namespace sluice::e2e
