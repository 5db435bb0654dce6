/// Pins: what keeps programs, maps and links alive in bpffs when no process holds them.
#pragma once

#include <filesystem>
#include <string>

#include "loader/root.hpp"
#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

/// The datapath's programs, by the names of their functions.
inline constexpr const char* kFromPod = "from_pod";
inline constexpr const char* kToPod = "to_pod";
inline constexpr const char* kFromOverlay = "from_overlay";
inline constexpr const char* kToOverlay = "to_overlay";
inline constexpr const char* kFromUplink = "from_uplink";
inline constexpr const char* kXdpUplink = "xdp_uplink";

std::filesystem::path program_pin(const Root& root, const std::string& program);
/// The pin of a tcx link: `hook` is "in" or "eg".
std::filesystem::path link_pin(const Root& root, const std::string& host_name, const char* hook);

/// Mounts bpffs under the root where it is not mounted yet, and makes the folders of the pins.
Result<void> prepare_pins(const Root& root);

/// ENOENT: nothing is pinned there.
Result<Fd> open_pin(const std::filesystem::path& pin);
/// Pins a program or link, in one step in place of what was pinned there.
Result<void> replace_pin(const Fd& object, const std::filesystem::path& pin);
/// Removes it, and what a killed replace_pin has left beside it. Succeeds when it is already gone.
Result<void> remove_pin(const std::filesystem::path& pin);

}  // namespace sluice::loader::program
