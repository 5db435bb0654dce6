/// Connected UDP sockets of the node that were given a backend which no longer serves.
#pragma once

#include <cstddef>

#include "loader/root.hpp"
#include "maps/result.hpp"

namespace sluice::loader::state::service {

/// Ends them: who waits for an answer is told ECONNABORTED, and who connects again gets another backend. The calling
/// thread is in the node's network namespace. Returns how many there were. ENOENT: no datapath is loaded. EOPNOTSUPP:
/// the kernel cannot (CONFIG_INET_DIAG_DESTROY); such sockets then wait for answers that never come.
Result<std::size_t> end_stale_sockets(const Root& root);

}  // namespace sluice::loader::state::service
