/// The deny list: blocks of addresses from which no uplink lets anything in, pods' and the node's own traffic alike. It
/// is a file for people (/etc/sluice/deny.list under the root: one block or address in a line, `#` begins a comment),
/// which the map `denied` follows.
#pragma once

#include <cstddef>
#include <vector>

#include "loader/root.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

/// The blocks of the file, their host bits zero, in its order. Without the file, none. EINVAL: a line is no block;
/// names it.
Result<std::vector<Prefix>> read_deny_list(const Root& root);

/// Adds these to the file where they are not in it, leaving all else there as it is. How many were not.
Result<std::size_t> add_to_deny_list(const Root& root, const std::vector<Prefix>& blocks);
/// Takes these out of it. How many were in it.
Result<std::size_t> delete_from_deny_list(const Root& root, const std::vector<Prefix>& blocks);

/// Brings the file into force, from the next packet on. How many blocks came or went. After an error what was in force
/// still is. ENOENT: no datapath is loaded. E2BIG: the map has no room for so many (maps.denied).
Result<std::size_t> apply_deny_list(const Root& root);

/// The blocks that are in force. ENOENT: no datapath is loaded.
Result<std::vector<Prefix>> denied_blocks(const Root& root);

}  // namespace sluice::loader::program
