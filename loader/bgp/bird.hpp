/// BIRD's control socket, over which birdc speaks, too (BIRD 2 User's Guide, 4; its reply codes are in
/// doc/reply_codes).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "loader/root.hpp"
#include "maps/result.hpp"

namespace sluice::loader::bgp {

/// Where BIRD of Debian has it.
std::filesystem::path control_socket(const Root& root);

/// Gives BIRD a command and waits at most two seconds for the lines of its answer, which come without reply codes.
/// ENOENT or ECONNREFUSED: BIRD does not run. EINVAL: it refuses the command; the message has its words. EPROTO:
/// whoever answers is not BIRD. ETIMEDOUT.
Result<std::vector<std::string>> ask_bird(const Root& root, const std::string& command);

}  // namespace sluice::loader::bgp
