/// The tunnel device of the overlay: made, hung on the programs and kept as it should be, in the calling thread's
/// network namespace.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "loader/config.hpp"
#include "loader/root.hpp"
#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

inline constexpr const char* kOverlayDevice = "sluice_vxlan";

struct OverlayDevice {
  int ifindex = 0;
  int uplink_mtu = 0;
  std::optional<std::string> change;  ///< what had to be done to it, in words
  bool made = false;                  ///< it was not there
};

/// Makes the device that the configuration asks for, or makes one right that somebody has changed. nullopt: the
/// configuration has no overlay.
Result<std::optional<OverlayDevice>> prepare_overlay(const NodeConfig& config);

struct OverlayPrograms {
  const Fd* ingress;  ///< from_overlay
  const Fd* egress;   ///< to_overlay; null: of a version that had none
};

/// Puts them on the device, or in the places of their predecessors there.
Result<void> attach_overlay(const OverlayDevice& device, const OverlayPrograms& programs);

/// Tells the programs of the device (nodes, NODE_HERE), or that there is none.
Result<void> publish_overlay(const Root& root, const NodeConfig& config, const std::optional<OverlayDevice>& device);

/// Deletes the device where it is there; true: it was.
Result<bool> remove_overlay();

/// Makes right what somebody has changed, and says what that was. ENOENT: nothing is loaded.
Result<std::vector<std::string>> repair_overlay(const Root& root, const NodeConfig& config);

}  // namespace sluice::loader::program
