#include "cni/endpoint.hpp"

#include <cerrno>
#include <chrono>
#include <thread>

#include "cni/error.hpp"
#include "loader/program/host_ports.hpp"

namespace sluice::cni {

using loader::AttachMode;
using loader::program::Datapath;
using loader::program::Endpoint;
using loader::program::HostPorts;
using loader::state::Attachment;

namespace {

constexpr std::chrono::seconds kPolicyPatience{10};
constexpr std::chrono::milliseconds kPolicyPoll{1};

}  // namespace

Endpoint endpoint_of(const Attachment& attachment) {
  Endpoint endpoint;
  endpoint.ifindex = attachment.host_ifindex;
  endpoint.pod_mac = attachment.pod_mac;
  endpoint.mtu = attachment.mtu;
  endpoint.through_stack = attachment.through_stack;
  endpoint.shaped = attachment.shaped;
  return endpoint;
}

Result<void> attach_programs(Datapath& datapath, const Attachment& attachment, AttachMode mode) {
  const bool choose = mode == AttachMode::kAuto && attachment.through_stack;
  const AttachMode first = choose ? AttachMode::kTcx : mode;
  auto attached = datapath.attach_pod(attachment.host_ifindex, attachment.host_ifname, first);
  if (choose && attached.failed_with(EOPNOTSUPP)) {
    attached = datapath.attach_pod(attachment.host_ifindex, attachment.host_ifname, AttachMode::kClsact);
  }
  return as(Code::kDatapath, attached);
}

Result<void> make_known(Datapath& datapath, loader::net::Netlink& host, const Attachment& attachment) {
  Endpoint endpoint = endpoint_of(attachment);
  endpoint.awaits_policy = !attachment.pod_name.empty() && TRY(as(Code::kDatapath, datapath.policy_is_managed()));
  for (const auto& address : attachment.addresses) {
    const auto other = TRY(as(Code::kDatapath, datapath.endpoint(address)));
    if (other && other->ifindex != attachment.host_ifindex) {
      // One that is gone without a DEL has left its entry.
      if (const auto link = host.link(other->ifindex)) {
        return failure(Code::kAddressTaken, address.text() + " belongs to the pod behind " + link->name);
      }
    }
    TRY(as(Code::kDatapath, datapath.put_endpoint(address, endpoint)));
  }
  return {};
}

Result<void> open_host_ports(const loader::Root& root, loader::net::Netlink& host, const Attachment& attachment) {
  if (attachment.host_ports.empty()) return {};
  auto ports = TRY(as(Code::kDatapath, HostPorts::open(root)));
  const auto node = TRY(as(Code::kNetwork, loader::program::node_addresses(host)));
  auto put = ports.put(attachment.host_ports, attachment.addresses, node);
  if (put.failed_with(EADDRINUSE)) return with_code(Code::kPortTaken, put.error());
  return as(Code::kDatapath, put);
}

Result<void> await_policy(Datapath& datapath, const Attachment& attachment) {
  const auto end = std::chrono::steady_clock::now() + kPolicyPatience;
  for (const auto& address : attachment.addresses) {
    for (;;) {
      const auto endpoint = TRY(as(Code::kDatapath, datapath.endpoint(address)));
      if (!endpoint || !endpoint->awaits_policy) break;
      if (std::chrono::steady_clock::now() > end) {
        return failure(Code::kTryAgain,
                       "pod " + attachment.pod_namespace + "/" + attachment.pod_name +
                           " has no policy yet: sluiced does not run, or does not know the Pod object");
      }
      std::this_thread::sleep_for(kPolicyPoll);
    }
  }
  return {};
}

}  // namespace sluice::cni
