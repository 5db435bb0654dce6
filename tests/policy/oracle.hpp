/// What Kubernetes promises of policy, as slowly and simply as it can be said: pure functions over the objects, without
/// classes, numbers or maps. The compiler is held against it.
#pragma once

#include <cstdint>
#include <string>

#include "loader/state/cluster.hpp"
#include "maps/address.hpp"

namespace sluice::test {

/// One end of a connection: a pod of the cluster, or an address.
struct End {
  const loader::kube::Object* pod = nullptr;   ///< null: no pod
  const loader::kube::Object* node = nullptr;  ///< the node whose address it is
  Address address;
};

/// May `client` open a connection to `server`? Egress rules of a pod count where `client` is one, ingress rules where
/// `server` is; a pod's own node and the pod itself always reach it. `own_node`: of the pods that are judged.
bool oracle_allows(const loader::state::Cluster& cluster, const std::string& own_node, const End& client,
                   const End& server, loader::kube::Protocol protocol, std::uint16_t port);

/// One side of that alone: what the ingress rules of the server's pod say, or the egress rules of the client's.
bool oracle_side_allows(const loader::state::Cluster& cluster, bool ingress, const End& client, const End& server,
                        loader::kube::Protocol protocol, std::uint16_t port);

}  // namespace sluice::test
