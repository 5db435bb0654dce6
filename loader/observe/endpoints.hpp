/// The pods' interfaces on this node, as the CNI plugin wrote them down, as the datapath knows them, and whether both
/// agree.
#pragma once

#include <string>
#include <vector>

#include "loader/config.hpp"
#include "loader/root.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader::observe {

struct EndpointStatus {
  std::string pod;           ///< "namespace/name"; the start of the container's id where it has no name; empty: unknown
  std::string container_id;  ///< empty: the plugin has no record of it
  std::string ifname;        ///< inside the pod
  std::string network;
  std::string netns;
  std::string host_ifname;  ///< empty: not made yet, or gone
  int host_ifindex = 0;
  Mac mac;
  int mtu = 0;
  std::vector<Address> addresses;
  bool through_stack = false;
  bool shaped = false;
  AttachMode mode = AttachMode::kClsact;  ///< of the programs, where they are attached
  std::vector<std::string> problems;      ///< in words; none: packets flow
};

/// In the order of the pods' names. Looks at the interfaces of the calling thread's network namespace. ENOENT: no
/// datapath is loaded.
Result<std::vector<EndpointStatus>> endpoints(const Root& root);

}  // namespace sluice::loader::observe
