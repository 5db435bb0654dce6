#include "cni/take_down.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>

#include "cni/delegate.hpp"
#include "cni/error.hpp"
#include "cni/interface.hpp"
#include "loader/net/netlink.hpp"
#include "loader/net/netns.hpp"
#include "loader/program/datapath.hpp"
#include "loader/program/host_ports.hpp"
#include "loader/state/ipam.hpp"

namespace sluice::cni {

namespace {

using loader::program::Datapath;
using loader::state::Attachment;

/// What no record names: the entries of the interface, and those whose interface is gone.
Result<void> forget_unnamed(Datapath& datapath, const Attachment& attachment) {
  auto host = TRY(loader::net::Netlink::open());
  // In this order: the interface of an entry is there before the entry.
  const auto endpoints = TRY(datapath.endpoints());
  const auto links = TRY(host.links());
  for (const auto& [address, endpoint] : endpoints) {
    const auto link = std::find_if(links.begin(), links.end(), [ifindex = endpoint.ifindex](const auto& candidate) {
      return candidate.ifindex == ifindex;
    });
    if (link != links.end() && (attachment.adopted || link->name != attachment.host_ifname)) continue;
    TRY(datapath.erase_endpoint(address, endpoint.ifindex));
  }
  return {};
}

/// From here on no packet is delivered to the pod, and none of its own is taken.
Result<void> forget(std::optional<Datapath>& datapath, const Attachment& attachment) {
  if (!datapath) return {};
  if (attachment.host_ifindex == 0) return forget_unnamed(*datapath, attachment);
  for (const auto& address : attachment.addresses) TRY(datapath->erase_endpoint(address, attachment.host_ifindex));
  return {};
}

/// The rules in the pod, where the pod is still there.
Result<void> unroute(const Attachment& attachment) {
  if (attachment.policy_table == 0) return {};
  const auto netns = loader::net::Netns::open(attachment.netns);
  if (!netns) return {};
  auto pod = TRY(loader::net::Netlink::open_in(*netns));
  return remove_rules(pod, attachment.addresses, attachment.policy_table);
}

/// The pair goes with its routes, neighbours and filters; only the pins of tcx links outlive it. The recorded index is
/// believed only where the name has it: since a reboot it may be another pod's.
Result<void> remove_interface(std::optional<Datapath>& datapath, const Attachment& attachment) {
  auto host = TRY(loader::net::Netlink::open());
  int attached_to = 0;
  if (!attachment.adopted) {
    TRY(host.delete_link(attachment.host_ifname));
  } else if (const auto link = host.link(attachment.host_ifname)) {
    if (link->ifindex == attachment.host_ifindex) attached_to = link->ifindex;
  }
  if (!datapath || (attachment.adopted && attachment.host_ifindex == 0)) return {};
  return datapath->detach_pod(attached_to, attachment.host_ifname);
}

/// Before the endpoints: whoever asks a port that is closed is told so.
Result<void> close_host_ports(const loader::Root& root, const Attachment& attachment) {
  auto ports = TRY(loader::program::HostPorts::open(root));
  if (attachment.addresses.empty()) return ports.erase_dead();
  return ports.erase(attachment.addresses);
}

Result<void> give_back(const loader::Root& root, const loader::state::LockedAttachment& lock,
                       const Attachment& attachment, const std::string& path) {
  if (!attachment.ipam_type.empty()) {
    const Delegate delegate{
        attachment.ipam_type, path,        attachment.ipam_config, attachment.key.container_id, attachment.key.ifname,
        attachment.netns,     &lock.file()};
    (void)TRY(run(delegate, "DEL"));
    return {};
  }
  loader::state::Ipam ipam(root);
  const auto& [container_id, ifname] = attachment.key;
  // An ADD that did not come to its end may have more than it had the time to write down.
  if (!attachment.complete) return ipam.release_all(container_id, ifname);
  for (const auto& address : attachment.addresses) {
    TRY(ipam.release(address, {attachment.network, container_id, ifname}));
  }
  return {};
}

}  // namespace

Attachment unrecorded(const loader::state::AttachmentKey& key) {
  Attachment attachment;
  attachment.key = key;
  attachment.host_ifname = loader::state::host_ifname(key);
  return attachment;
}

Result<void> take_down(const loader::Root& root, const loader::state::LockedAttachment& lock,
                       const Attachment& attachment, const std::string& path) {
  std::optional<Error> first;
  const auto note = [&](const Result<void>& step) {
    if (!step && !first) first = step.error();
  };

  std::optional<Datapath> datapath;
  if (auto opened = Datapath::open(root)) {
    datapath = *std::move(opened);
  } else if (!opened.failed_with(ENOENT)) {
    note(as(Code::kDatapath, Result<void>(opened.error())));
  }
  if (datapath && !attachment.addresses.empty()) note(as(Code::kDatapath, close_host_ports(root, attachment)));
  note(as(Code::kDatapath, forget(datapath, attachment)));
  // Of an attachment without a record nobody knows the ports: those that lead to no pod any more are its.
  if (datapath && attachment.addresses.empty()) note(as(Code::kDatapath, close_host_ports(root, attachment)));
  note(as(Code::kNetwork, unroute(attachment)));
  note(as(Code::kNetwork, remove_interface(datapath, attachment)));
  // Addresses last: the next pod that gets one must not meet anything of this one.
  if (!first) note(give_back(root, lock, attachment, path));
  if (first) return *first;
  return {};
}

}  // namespace sluice::cni
