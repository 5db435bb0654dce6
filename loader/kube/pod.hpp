#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "loader/kube/port.hpp"
#include "maps/address.hpp"

namespace sluice::loader::kube {

/// A port of a container, or of an init container that stays (restartPolicy Always).
struct ContainerPort {
  std::string name;  ///< empty: without a name
  Protocol protocol = Protocol::kTcp;
  std::uint16_t port = 0;
  std::uint16_t host_port = 0;     ///< 0: none; always 0 with hostNetwork, where the port is the node's own anyway
  std::optional<Address> host_ip;  ///< of the host port; absent: every address of the node
  bool operator==(const ContainerPort&) const = default;
};

/// v1 Pod.
struct Pod {
  enum class Phase : std::uint8_t { kPending, kRunning, kSucceeded, kFailed, kUnknown };

  std::string node_name;     ///< spec.nodeName; empty: not scheduled yet
  std::vector<Address> ips;  ///< status.podIPs, else status.podIP: at most one of each family
  std::vector<ContainerPort> ports;
  Phase phase = Phase::kPending;
  bool host_network = false;
  bool ready = false;     ///< the condition Ready
  bool deleting = false;  ///< metadata.deletionTimestamp is set

  /// Its containers have ended for good; its addresses may be another pod's by now.
  [[nodiscard]] bool ended() const { return phase == Phase::kSucceeded || phase == Phase::kFailed; }
  bool operator==(const Pod&) const = default;
};

}  // namespace sluice::loader::kube
