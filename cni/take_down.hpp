/// Undoing an attachment, whole or half made: what DEL and GC do, and what an ADD does that fails.
#pragma once

#include <string>

#include "loader/root.hpp"
#include "loader/state/attachment.hpp"
#include "maps/result.hpp"

namespace sluice::cni {

/// Takes apart whatever is there of `attachment`, the other way round than ADD made it: what is gone already is no
/// error. Goes on where a step fails, and reports the first failure; then the record must be kept, for another try.
/// `path`: CNI_PATH, where an IPAM plugin gave the addresses.
Result<void> take_down(const loader::Root& root, const loader::state::LockedAttachment& lock,
                       const loader::state::Attachment& attachment, const std::string& path);

/// What is known of an attachment that has no record, or none that can be understood.
loader::state::Attachment unrecorded(const loader::state::AttachmentKey& key);

}  // namespace sluice::cni
