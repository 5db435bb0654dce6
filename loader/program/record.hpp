/// datapath.json in the run folder: which programs are in force. Written under the exclusive lock, read by anyone.
#pragma once

#include "loader/program/lifecycle.hpp"
#include "loader/root.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

/// In one step: a reader sees the old record or the new one.
Result<void> write_load_record(const Root& root, const LoadRecord& record);
/// Succeeds when there is none.
Result<void> erase_load_record(const Root& root);

}  // namespace sluice::loader::program
