#include <algorithm>
#include <cerrno>
#include <set>

#include "cni/attachment.hpp"
#include "cni/commands.hpp"
#include "cni/delegate.hpp"
#include "cni/error.hpp"
#include "cni/json.hpp"
#include "cni/take_down.hpp"
#include "loader/state/ipam.hpp"

namespace sluice::cni {

namespace {

using loader::state::AttachmentKey;
using loader::state::LockedAttachment;
using nlohmann::json;

constexpr const char* kValidKey = "cni.dev/valid-attachments";

Result<std::set<AttachmentKey>> parse_valid(const json& list) {
  std::set<AttachmentKey> valid;
  for (const auto& item : list) {
    if (!item.is_object()) return bad_config(kValidKey, "has something in it that is not an object");
    auto id = TRY(get_string(item, "containerID").context(kValidKey));
    auto ifname = TRY(get_string(item, "ifname").context(kValidKey));
    // A pair that cannot be told must not cost a pod its network.
    if (!id || !ifname) return bad_config(kValidKey, "has an entry without containerID or ifname");
    valid.insert({*std::move(id), *std::move(ifname)});
  }
  return valid;
}

/// Everything of `network` that is not valid: attachments, and addresses whose owner has no record.
class Sweep {
 public:
  Sweep(const Request& request, const loader::Root& root, const std::set<AttachmentKey>& valid)
      : request_(request), root_(root), valid_(valid) {}

  Result<void> run() {
    std::set<AttachmentKey> suspects;
    for (auto& key : TRY(loader::state::attachment_keys(root_))) suspects.insert(std::move(key));
    for (const auto& [address, owner] : TRY(loader::state::Ipam(root_).reservations())) {
      const AttachmentKey key{owner.container_id, owner.ifname};
      owner.network == request_.network ? (void)suspects.insert(key) : (void)elsewhere_.insert(key);
    }
    for (const auto& key : suspects) {
      auto swept = valid_.contains(key) ? Result<void>() : sweep(key);
      if (!swept && !first_) first_ = swept.error();
    }
    if (first_) return *first_;
    return {};
  }

 private:
  Result<void> sweep(const AttachmentKey& key) {
    auto lock = LockedAttachment::lock(root_, key, std::chrono::milliseconds(0));
    if (lock.failed_with(EAGAIN)) return {};  // an ADD or DEL is at it
    if (!lock) return lock.error();
    const auto recorded = lock->read();
    if (recorded && recorded->network != request_.network) return {};
    // A record that cannot be read does not say whose it is; its addresses do.
    if (!recorded && elsewhere_.contains(key)) return {};
    TRY(take_down(root_, *lock, recorded ? *recorded : unrecorded(key), request_.path)
            .context("clear away interface " + key.ifname + " of container " + key.container_id));
    return lock->remove();
  }

  const Request& request_;
  const loader::Root& root_;
  const std::set<AttachmentKey>& valid_;
  std::set<AttachmentKey> elsewhere_;  // those with addresses in other networks
  std::optional<Error> first_;
};

}  // namespace

Result<json> gc(const Request& request) {
  const Scope scope = TRY(Scope::parse(request.config));
  const auto list = TRY(get_array(request.config, kValidKey));
  if (!list) return json(nullptr);  // who does not say what is valid has not said that nothing is
  const auto valid = TRY(parse_valid(*list));
  auto swept = Sweep(request, scope.root, valid).run();

  if (!scope.ipam_type.empty()) {
    auto forwarded = run(delegate_of(request, scope.ipam_type), "GC");
    if (!forwarded && !is_unknown_command(forwarded.error()) && swept) swept = forwarded.error();
  }
  if (!swept) return with_code(Code::kIo, swept.error());
  return json(nullptr);
}

}  // namespace sluice::cni
