#include "cni/attachment.hpp"

#include <cerrno>

#include "cni/error.hpp"
#include "cni/take_down.hpp"

namespace sluice::cni {

using loader::state::Attachment;
using loader::state::LockedAttachment;

Result<loader::net::Netns> open_container(const Request& request) {
  auto netns = loader::net::Netns::open(request.netns);
  if (netns.failed_with(ENOENT)) return failure(Code::kUnknownContainer, "CNI_NETNS: " + netns.error().message);
  if (!netns) return failure(Code::kBadEnvironment, "CNI_NETNS: " + netns.error().message);
  if (netns->same_as(TRY(loader::net::Netns::current()))) {
    return failure(Code::kBadEnvironment, "CNI_NETNS: " + request.netns + " is the node's own network namespace");
  }
  return netns;
}

Result<LockedAttachment> claim(const Request& request, const Scope& scope, loader::net::Netlink& host) {
  const auto key = key_of(request);
  auto lock = TRY(as(Code::kIo, LockedAttachment::lock(scope.root, key, kPatience)));
  const auto old = lock.read();
  if (!old) return lock;
  if (old->complete && host.link(old->host_ifname)) {
    return failure(Code::kAttached, "interface " + key.ifname + " of container " + key.container_id +
                                        " is attached already, by " + old->host_ifname + " to network " + old->network);
  }
  TRY(take_down(scope.root, lock, *old, request.path).context("clear away an attachment that was cut short"));
  return lock;
}

Attachment plan(const Request& request, const Scope& scope, const Settings& settings, const Node& node) {
  Attachment attachment;
  attachment.key = key_of(request);
  attachment.network = request.network;
  attachment.netns = request.netns;
  attachment.pod_namespace = request.pod_namespace();
  attachment.pod_name = request.pod_name();
  attachment.host_ifname = loader::state::host_ifname(attachment.key);
  attachment.mtu = node.mtu;
  attachment.through_stack = settings.through_stack;
  attachment.shaped = settings.ingress.bits_per_second != 0;
  attachment.host_ports = settings.host_ports;
  attachment.ipam_type = scope.ipam_type;
  if (!scope.ipam_type.empty()) attachment.ipam_config = request.config.dump();
  return attachment;
}

}  // namespace sluice::cni
