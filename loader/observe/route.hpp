/// What the datapath does with what a pod of this node sends to an address, as far as that depends on no port and no
/// policy: `trace` knows those. By the maps, and by the kernel's routes of the calling thread's network namespace.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "loader/observe/nodes.hpp"
#include "loader/root.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader::observe {

struct RouteStatus {
  std::string who;   ///< has the address: "default/web", "a pod of node-2", "the world"
  std::string way;   ///< "pod", "service", "tunnel", "route", "uplink", "stack"
  std::string text;  ///< what that means, a sentence
  std::string node;  ///< behind which it is, or whose own it is; empty: none, or not known
  std::string device;
  std::optional<Address> next_hop;
  std::optional<Address> source;  ///< that takes the place of the pod's; nullopt: it keeps its own
  int mtu = 0;                    ///< 0: the host's stack looks after it
  std::uint32_t identity = 0;     ///< by which policy knows the address (maps/ipcache.h); 0: none
};

/// ENOENT: nothing is loaded.
Result<RouteStatus> route(const Root& root, const Address& address);

}  // namespace sluice::loader::observe
