/// The nodes of the cluster as this one reaches them: Node objects, what the datapath has of them, and what the kernel
/// knows of the way. Works in the calling thread's network namespace.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "loader/root.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader::observe {

/// How the host's stack reaches an address.
struct KernelWay {
  std::optional<Address> gateway;  ///< nullopt: it is on the link
  std::string device;              ///< empty: there is no way
  int mtu = 0;                     ///< of the device
  std::string neighbour;           ///< what is known of the next hop, in words: "answers"
};

KernelWay kernel_way(const Address& address);

struct NodeStatus {
  std::string name;  ///< empty: the datapath knows it, and no object names it
  std::vector<Address> addresses;
  std::vector<Prefix> pod_cidrs;
  std::string
      way;  ///< to its pods: "here", "tunnel", "route", "stack" (mode none); empty: the datapath does not know it
  std::string device;        ///< by which its address is reached; empty: by none
  int mtu = 0;               ///< of packets to its pods, from the IP header on; 0: not known
  std::string reachability;  ///< in words
};

/// Sorted by name. ENOENT: nothing is loaded.
Result<std::vector<NodeStatus>> nodes(const Root& root);

}  // namespace sluice::loader::observe
