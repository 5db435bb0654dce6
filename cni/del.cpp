#include "cni/attachment.hpp"
#include "cni/commands.hpp"
#include "cni/delegate.hpp"
#include "cni/error.hpp"
#include "cni/take_down.hpp"

namespace sluice::cni {

using loader::state::Attachment;
using loader::state::LockedAttachment;

Result<nlohmann::json> del(const Request& request) {
  const Scope scope = TRY(Scope::parse(request.config));
  const auto key = key_of(request);
  auto lock = TRY(as(Code::kIo, LockedAttachment::lock(scope.root, key, kPatience)));
  const auto recorded = lock.read();
  Attachment attachment = recorded ? *recorded : unrecorded(key);
  if (!recorded && !scope.ipam_type.empty()) {
    // An ADD in another life of the node may have taken an address there.
    attachment.netns = request.netns;
    attachment.ipam_type = scope.ipam_type;
    attachment.ipam_config = request.config.dump();
  }
  TRY(take_down(scope.root, lock, attachment, request.path));
  TRY(lock.remove());
  return nlohmann::json(nullptr);
}

}  // namespace sluice::cni
