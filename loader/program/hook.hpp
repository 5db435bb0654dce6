/// Programs on the tc hooks of one interface, by either of the kernel's two ways, in the calling thread's network
/// namespace.
///
/// clsact (every kernel): a cls_bpf filter in direct-action mode with a handle of our own, first in its chain. It dies
/// with the interface. tcx (kernel 6.6): a link, pinned by name; the pin outlives the interface and has to be removed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

/// From the host's side: ingress is what comes in from the pod. What comes in from the world is a hook of its own,
/// beside that of a pod: an uplink may be a veth, too, and must not be taken for a pod's. Uplinks are attached by
/// clsact only.
enum class Hook { kIngress, kEgress, kUplink };

namespace clsact {

/// Puts the program there or, in one step, in the place of our former one.
Result<void> attach(int ifindex, Hook hook, const Fd& program);
/// Puts the program in the place of our former one. False: there is none.
Result<bool> replace(int ifindex, Hook hook, const Fd& program);
/// Succeeds when the filter or the interface is gone. The qdisc stays: others may have filters on it.
Result<void> detach(int ifindex, Hook hook);
/// The id of our program there.
Result<std::optional<std::uint32_t>> attached(int ifindex, Hook hook);

}  // namespace clsact

namespace tcx {

/// EOPNOTSUPP: the kernel has no tcx. A link that is pinned there already gets the program; one of an interface that is
/// gone is replaced.
Result<void> attach(int ifindex, Hook hook, const Fd& program, const std::filesystem::path& pin);
/// Gives a pinned link another program, in one step. False: its interface is gone.
Result<bool> replace(const std::filesystem::path& pin, const Fd& program);
/// Succeeds when the link is gone.
Result<void> detach(const std::filesystem::path& pin);
/// The id of the program, if it is pinned and its interface is `ifindex`.
Result<std::optional<std::uint32_t>> attached(int ifindex, const std::filesystem::path& pin);
/// The kernel has tcx. `program` is any program for tc.
bool supported(const Fd& program);

}  // namespace tcx

}  // namespace sluice::loader::program
