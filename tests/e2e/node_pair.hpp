/// Two nodes with an agent and a pod each, and the world that they are reached from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/e2e/agent.hpp"
#include "tests/e2e/cluster.hpp"
#include "tests/e2e/service_world.hpp"
#include "tests/e2e/socket.hpp"

namespace sluice::e2e {

inline constexpr std::uint16_t kNodePort = 30080;

/// The load balancer's address of the Service default/web.
Address balancer(bool v4);
/// That Service, with this externalTrafficPolicy: of the load balancer, and at kNodePort.
std::string balanced_yaml(const std::string& policy);

/// Here on node-1 and there on node-2 may be endpoints. Outside clients ask node-1, which has the load balancer's
/// addresses.
struct NodePair {
  /// `more`: further members of both nodes' configuration, as JSON.
  explicit NodePair(const std::string& mode = "overlay", const std::string& more = {});

  void apply(const std::string& yaml) const;
  /// An outside client of kNodePort is connected to one of the pods.
  [[nodiscard]] bool answers(bool v4) const;
  /// What comes to the node's uplink from now on is as from a wire: with whole checksums. And what XDP sends out of it
  /// is taken.
  void wire(const std::string& which);
  /// Packets that a node's programs have forwarded at this hook.
  [[nodiscard]] std::uint64_t forwarded(const std::string& which, maps::hook hook) const;

  Cluster cluster;
  Place here = cluster.pod("here"), there = cluster.pod("there"), node = cluster.node("node-1"),
        other_node = cluster.node("node-2"), world = cluster.world();
  Agent first{cluster, "node-1"}, second{cluster, "node-2"};

 private:
  std::vector<Fd> wires_;
};

/// A connection to `to`, on which `server` gets megabytes, sends some back, and sees its client as `seen_as`.
void exchange(const Place& client, const Address& to, std::uint16_t port, const Place& server, const Address& seen_as);

/// Datagrams to `to` and answers to them, small ones and such in fragments.
void ask_by_udp(const Place& client, const Address& to, std::uint16_t port, const Place& server,
                const Address& seen_as);

/// A ping of one packet was answered.
bool received(const Outcome& ping);

}  // namespace sluice::e2e
