#include <cerrno>

#include "cni/addresses.hpp"
#include "cni/adopt.hpp"
#include "cni/attachment.hpp"
#include "cni/commands.hpp"
#include "cni/endpoint.hpp"
#include "cni/error.hpp"
#include "cni/interface.hpp"
#include "cni/json.hpp"
#include "cni/result.hpp"
#include "cni/take_down.hpp"
#include "loader/program/datapath.hpp"
#include "loader/state/ipam.hpp"
#include "loader/undo.hpp"

namespace sluice::cni {

namespace {

using loader::net::Netlink;
using loader::net::Netns;
using loader::state::Attachment;
using loader::state::LockedAttachment;
using nlohmann::json;

constexpr int kSmallestMtuV6 = 1280;  // RFC 8200, 5

Result<Assignment> assign(const Request& request, const Settings& settings, const Node& node,
                          const LockedAttachment& lock, Attachment& attachment, loader::state::Ipam& ipam) {
  if (attachment.ipam_type.empty()) {
    return assign_own(ipam, node.pod_cidrs, settings.ips, {request.network, request.container_id, request.ifname});
  }
  Delegate delegate = delegate_of(request, attachment.ipam_type);
  delegate.held = &lock.file();
  auto assigned = assign_delegated(delegate);
  // A plugin that fails has undone its own work (CNI spec 1.1.0, "ADD"); one that answers nonsense has not.
  if (!assigned && code_of(assigned.error()) != static_cast<int>(Code::kDelegate)) attachment.ipam_type.clear();
  return assigned;
}

std::string alias_of(const Attachment& attachment) {
  if (attachment.pod_name.empty()) return attachment.key.container_id + " " + attachment.key.ifname;
  return attachment.pod_namespace + "/" + attachment.pod_name + " " + attachment.key.ifname;
}

Result<Ends> make_interface(Netlink& host, const Netns& netns, const Attachment& attachment) {
  loader::net::VethSpec spec;
  spec.host_name = attachment.host_ifname;
  spec.host_alias = alias_of(attachment);
  spec.host_mac = loader::kHostMac;
  spec.pod_name = attachment.key.ifname;
  spec.pod_mac = attachment.pod_mac;
  spec.mtu = attachment.mtu;
  auto ends = make_pair(host, spec, netns);
  if (ends.failed_with(EEXIST)) {
    return failure(Code::kBadEnvironment, "CNI_IFNAME: the container has an interface " + attachment.key.ifname);
  }
  return as(Code::kNetwork, std::move(ends));
}

/// The programs hang on the host's end before it is up: no packet of the pod passes by them.
Result<void> guard_host_end(loader::program::Datapath& datapath, Netlink& host, const Settings& settings,
                            const Node& node, const Attachment& attachment) {
  TRY(attach_programs(datapath, attachment, node.attach));
  TRY(as(Code::kNetwork, limit(host, attachment.host_ifindex, settings.ingress)));
  return as(Code::kNetwork, host.set_up(attachment.host_ifindex));
}

Result<PodRouting> furnish_pod(const Netns& netns, int pod_ifindex, const Settings& settings,
                               const Attachment& attachment, const Assignment& assignment) {
  auto pod = TRY(Netlink::open_in(netns));
  TRY(limit(pod, pod_ifindex, settings.egress));
  return configure_pod_end(pod, netns, {pod_ifindex, attachment.key.ifname, attachment.addresses, assignment.routes});
}

json answer(const Request& request, const Settings& settings, const Attachment& attachment,
            const Assignment& assignment, const PodRouting& routing) {
  Answer result(settings.previous);
  result.add_interface(attachment.host_ifname, loader::kHostMac, attachment.mtu, "");
  const auto index = result.add_interface(attachment.key.ifname, attachment.pod_mac, attachment.mtu, request.netns);
  for (const auto& address : attachment.addresses) {
    result.add_ip(Prefix::host(address), gateway(address.is_v4()), index);
  }
  for (const auto& route : routing.routes) result.add_route(route);
  result.set_dns(settings.dns.is_null() ? assignment.dns : settings.dns);
  return result.in_version(request.version);
}

/// ADD where Sluice makes the interface.
Result<json> attach(const Request& request, const Scope& scope, const Settings& settings, const Node& node,
                    const Netns& netns, Netlink& host, loader::program::Datapath& datapath) {
  if (!scope.ipam_type.empty()) (void)TRY(find_plugin(delegate_of(request, scope.ipam_type)));
  Attachment attachment = plan(request, scope, settings, node);
  attachment.pod_mac = settings.mac ? *settings.mac : TRY(random_mac());
  auto lock = TRY(claim(request, scope, host));
  loader::Undo undo([&] {
    if (take_down(scope.root, lock, attachment, request.path)) (void)lock.remove();
  });
  TRY(lock.write(attachment));

  loader::state::Ipam ipam(scope.root);
  const Assignment assignment = TRY(assign(request, settings, node, lock, attachment, ipam));
  attachment.addresses = assignment.addresses;
  for (const auto& address : attachment.addresses) {
    if (!address.is_v4() && attachment.mtu < kSmallestMtuV6) {
      return bad_config("mtu", "is " + std::to_string(attachment.mtu) + ", which is too small for IPv6 (1280)");
    }
  }

  const Ends ends = TRY(make_interface(host, netns, attachment));
  attachment.host_ifindex = ends.host_ifindex;
  attachment.policy_table = policy_table(ends.pod_ifindex);
  TRY(lock.write(attachment));
  TRY(guard_host_end(datapath, host, settings, node, attachment));
  const auto routing = TRY(as(Code::kNetwork, furnish_pod(netns, ends.pod_ifindex, settings, attachment, assignment)));
  TRY(make_known(datapath, host, attachment));
  TRY(as(Code::kNetwork, route_to_pod(host, ends.host_ifindex, attachment.addresses, attachment.pod_mac)));
  TRY(open_host_ports(scope.root, host, attachment));

  attachment.policy_table = routing.policy_table;
  attachment.complete = true;
  if (attachment.ipam_type.empty()) TRY(ipam.sync());
  TRY(lock.write(attachment));
  TRY(await_policy(datapath, attachment));
  undo.release();
  return answer(request, settings, attachment, assignment, routing);
}

}  // namespace

Result<json> add(const Request& request) {
  const Scope scope = TRY(Scope::parse(request.config));
  const Settings settings = TRY(Settings::parse(request));
  OtherResult previous;
  if (settings.previous.is_object()) previous = TRY(OtherResult::parse(settings.previous, "prevResult"));

  auto host = TRY(as(Code::kNetwork, Netlink::open()));
  const Node node = TRY(Node::read(scope, settings, host));
  const Netns netns = TRY(open_container(request));
  auto datapath = TRY(as(Code::kDatapath, loader::program::Datapath::open_or_load(scope.root, node.config)));
  if (previous.find_in_sandbox(request.ifname)) {
    return adopt(request, scope, settings, node, netns, host, datapath);
  }
  return attach(request, scope, settings, node, netns, host, datapath);
}

}  // namespace sluice::cni
