/// xdp_uplink on the uplinks, in the calling thread's network namespace: on each a link that is pinned by the
/// interface's name. What it does not take, from_uplink does; so an uplink without it loses speed and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "loader/config.hpp"
#include "loader/program/uplink.hpp"
#include "loader/root.hpp"
#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

/// Puts the program on the uplink, or in one step in the place of its predecessor there. A predecessor in another mode
/// than `wanted` (not kOff) goes first: for a moment the uplink is without. False, and a sentence in `warnings`: the
/// interface or its driver refuses, or somebody else's program is there.
Result<bool> attach_xdp(const Root& root, const Uplink& uplink, Xdp wanted, const Fd& program,
                        std::vector<std::string>& warnings);

/// Takes it off again. False: it was not there.
Result<bool> detach_xdp(const Root& root, const Uplink& uplink);
/// Takes it off all interfaces but these. The number of those that had it.
Result<std::size_t> detach_xdp(const Root& root, const std::vector<Uplink>& but = {});

struct XdpAttachment {
  std::uint32_t program_id = 0;
  bool native = false;
};
/// How it hangs on this interface. nullopt: not at all.
Result<std::optional<XdpAttachment>> xdp_attachment(const Root& root, int ifindex, const std::string& name);

/// Puts it back where somebody has taken it off, and says where that was. ENOENT: nothing is loaded.
Result<std::vector<std::string>> repair_xdp(const Root& root, const NodeConfig& config);

}  // namespace sluice::loader::program
