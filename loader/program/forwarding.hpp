/// What the kernel must be told so that the host's stack forwards what the datapath passes on to it.
#pragma once

#include "maps/result.hpp"

namespace sluice::loader::program {

/// Switches on forwarding of both families in the calling thread's network namespace. An interface that takes its IPv6
/// configuration from router advertisements goes on doing so (accept_ra 2), which forwarding would end: the node would
/// lose its default route. Writes nothing where all is so already.
Result<void> enable_forwarding();

}  // namespace sluice::loader::program
