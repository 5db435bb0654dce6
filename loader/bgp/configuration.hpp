/// What BIRD is told: whom to talk to and what to announce.
#pragma once

#include <string>
#include <vector>

#include "loader/config.hpp"
#include "loader/state/cluster.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader::bgp {

/// The names of BIRD's protocols that are ours begin so.
inline constexpr const char* kPrefix = "sluice_";

/// The pod CIDRs of this node, and the load balancer and external addresses of Services for which clients may come
/// here: with externalTrafficPolicy Local only where this node has a ready endpoint, and none where the node is
/// excluded from load balancers. Sorted, each once.
std::vector<Prefix> announced(const state::Cluster& cluster, const std::string& node, const NodeConfig& config);

struct Configuration {
  std::string text;
  std::string mark;  ///< one for each text, in it: BIRD shows that of the text in force with the protocol sluice_device
};

/// A whole configuration of BIRD 2, in which each peer N of the list is the protocol sluice_peer_N. Its session carries
/// the family of its address. What peers announce goes into the kernel's main table. Without `config.bgp` nobody is
/// talked to. EINVAL: there is no router id.
Result<Configuration> configuration(const NodeConfig& config, const std::vector<Prefix>& announced);

}  // namespace sluice::loader::bgp
