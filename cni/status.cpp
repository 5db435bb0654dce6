#include <algorithm>
#include <cerrno>

#include "cni/commands.hpp"
#include "cni/delegate.hpp"
#include "cni/error.hpp"
#include "cni/node.hpp"
#include "cni/settings.hpp"
#include "loader/program/datapath.hpp"
#include "loader/state/attachment.hpp"
#include "loader/state/ipam.hpp"

namespace sluice::cni {

namespace {

/// kUnavailableLimited: pods are attached whose programs are gone. A node without pods is loaded by its first ADD.
Result<void> check_datapath(const loader::Root& root, loader::net::Netlink& host) {
  const auto opened = loader::program::Datapath::open(root);
  if (opened) return {};
  const auto attachments = TRY(loader::state::attachments(root));
  const auto cut_off = std::count_if(attachments.begin(), attachments.end(), [&](const auto& attachment) {
    return attachment.complete && host.link(attachment.host_ifname);
  });
  if (cut_off != 0) {
    return failure(Code::kUnavailableLimited,
                   std::to_string(cut_off) + " pods are attached and the datapath is gone: " + opened.error().message);
  }
  if (opened.failed_with(ENOENT)) return {};
  return failure(Code::kUnavailable, opened.error().message);
}

/// Each family of the blocks must have a free address.
Result<void> check_own_addresses(const loader::Root& root, const std::vector<Prefix>& blocks) {
  if (blocks.empty()) {
    return failure(Code::kUnavailable, "podCIDRs is neither in the network configuration nor in sluice.yaml");
  }
  const auto reservations = TRY(loader::state::Ipam(root).reservations());
  for (const bool v4 : {true, false}) {
    bool has_block = false;
    bool has_room = false;
    for (const auto& block : blocks) {
      if (block.address.is_v4() != v4) continue;
      has_block = true;
      const auto used = std::count_if(reservations.begin(), reservations.end(), [&](const auto& reservation) {
        return loader::state::Ipam::can_give(block, reservation.address);
      });
      has_room = has_room || static_cast<std::uint64_t>(used) < loader::state::Ipam::capacity(block);
    }
    if (has_block && !has_room) {
      return failure(Code::kUnavailable,
                     std::string("no IPv") + (v4 ? "4" : "6") + " address is free in the pod CIDRs");
    }
  }
  return {};
}

Result<void> check_delegate(const Request& request, const std::string& type) {
  const auto delegate = delegate_of(request, type);
  if (auto found = find_plugin(delegate); !found) return failure(Code::kUnavailable, found.error().message);
  const auto answered = run(delegate, "STATUS");
  // A plugin from before 1.1.0 has no STATUS to tell.
  if (answered || is_unknown_command(answered.error())) return {};
  const int code = code_of(answered.error());
  const bool limited = code == static_cast<int>(Code::kUnavailableLimited);
  return failure(limited ? Code::kUnavailableLimited : Code::kUnavailable, answered.error().message);
}

}  // namespace

Result<nlohmann::json> status(const Request& request) {
  const Scope scope = TRY(Scope::parse(request.config));
  const Settings settings = TRY(Settings::parse(request));
  auto host = TRY(as(Code::kUnavailable, loader::net::Netlink::open()));
  const Node node = TRY(Node::read(scope, settings, host));
  TRY(as(Code::kUnavailable, check_datapath(scope.root, host)));
  if (scope.ipam_type.empty()) {
    TRY(as(Code::kUnavailable, check_own_addresses(scope.root, node.pod_cidrs)));
  } else {
    TRY(check_delegate(request, scope.ipam_type));
  }
  return nlohmann::json(nullptr);
}

}  // namespace sluice::cni
