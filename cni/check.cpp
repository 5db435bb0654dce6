#include <algorithm>
#include <cerrno>

#include "cni/attachment.hpp"
#include "cni/commands.hpp"
#include "cni/delegate.hpp"
#include "cni/endpoint.hpp"
#include "cni/error.hpp"
#include "cni/interface.hpp"
#include "cni/json.hpp"
#include "cni/result.hpp"
#include "loader/program/host_ports.hpp"
#include "loader/state/ipam.hpp"

namespace sluice::cni {

namespace {

using loader::net::Netlink;
using loader::state::Attachment;

Error broken(const std::string& what) { return failure(Code::kCheckFailed, what); }

template <typename List, typename Condition>
bool any(const List& list, const Condition& condition) {
  return std::any_of(list.begin(), list.end(), condition);
}

/// The prevResult must tell of the interface and of each of its addresses.
Result<void> check_previous(const OtherResult& previous, const Attachment& attachment) {
  const auto index = previous.find_in_sandbox(attachment.key.ifname);
  if (!index) return broken("prevResult has no interface " + attachment.key.ifname);
  for (const auto& address : attachment.addresses) {
    if (!any(previous.ips, [&](const auto& ip) { return ip.address.address == address; })) {
      return broken("prevResult lacks address " + address.text() + ", which the interface was given");
    }
  }
  for (const auto& ip : previous.ips) {
    if (ip.interface != index) continue;
    if (!any(attachment.addresses, [&](const Address& address) { return address == ip.address.address; })) {
      return broken("prevResult has address " + ip.address.address.text() + ", which the interface was not given");
    }
  }
  return {};
}

/// The device `name`, which must be up. kCheckFailed: it is not there.
Result<loader::net::Link> live_link(Netlink& netlink, const std::string& name, const std::string& where) {
  auto link = netlink.link(name);
  if (link.failed_with(ENODEV)) return broken("interface " + name + " is missing " + where);
  if (!link) return with_code(Code::kNetwork, link.error());
  if (!link->up) return broken("interface " + name + " is down " + where);
  return link;
}

/// By a gateway of Sluice's: the routes that ADD made, as prevResult tells them, or those of the interface's own table.
Result<void> check_pod_routes(Netlink& pod, int ifindex, const Attachment& attachment, const OtherResult& previous) {
  const auto present = TRY(as(Code::kNetwork, pod.routes(ifindex)));
  for (const auto& wanted : previous.routes) {
    if (wanted.gateway != gateway(wanted.destination.address.is_v4())) continue;
    const bool there = any(present, [&](const auto& route) {
      return route.gateway == wanted.gateway &&
             (route.destination ? *route.destination == wanted.destination : wanted.destination.length == 0);
    });
    if (!there) return broken("the pod's route to " + wanted.destination.text() + " is missing");
  }
  if (attachment.policy_table == 0) return {};
  const auto own = TRY(as(Code::kNetwork, pod.routes(ifindex, attachment.policy_table)));
  if (own.empty()) return broken("the routes for what the pod sends from " + attachment.key.ifname + " are missing");
  const auto rules = TRY(as(Code::kNetwork, pod.rules()));
  for (const auto& route : own) {
    for (const auto& address : attachment.addresses) {
      if (address.is_v4() != route.family_v4) continue;
      const loader::net::Rule wanted{address, attachment.policy_table};
      if (!any(rules, [&](const auto& rule) { return rule == wanted; })) {
        return broken("the rule for what the pod sends from " + address.text() + " is missing");
      }
    }
  }
  return {};
}

Result<void> check_pod(Netlink& pod, const Attachment& attachment, const OtherResult& previous) {
  const auto link = TRY(live_link(pod, attachment.key.ifname, "in the container"));
  if (link.peer_ifindex != attachment.host_ifindex) {
    return broken("interface " + attachment.key.ifname + " is not the one that ADD made");
  }
  if (link.mac != attachment.pod_mac) {
    return broken("interface " + attachment.key.ifname + " has MAC address " + link.mac.text() + ", not " +
                  attachment.pod_mac.text() + " that packets are taken from");
  }
  const auto addresses = TRY(as(Code::kNetwork, pod.addresses(link.ifindex)));
  for (const auto& address : attachment.addresses) {
    if (!any(addresses, [&](const Prefix& there) { return there.address == address; })) {
      return broken("address " + address.text() + " is missing from " + attachment.key.ifname);
    }
  }
  if (attachment.adopted) return {};
  const auto neighbours = TRY(as(Code::kNetwork, pod.neighbours(link.ifindex)));
  for (const auto& address : attachment.addresses) {
    const auto hop = gateway(address.is_v4());
    if (!any(neighbours, [&](const auto& entry) { return entry.address == hop && entry.mac == loader::kHostMac; })) {
      return broken("the pod does not know the MAC address of its gateway " + hop.text());
    }
  }
  return check_pod_routes(pod, link.ifindex, attachment, previous);
}

Result<void> check_host(Netlink& host, const Attachment& attachment) {
  const auto link = TRY(live_link(host, attachment.host_ifname, "on the node"));
  if (link.ifindex != attachment.host_ifindex) {
    return broken("interface " + attachment.host_ifname + " is not the one that ADD made");
  }
  const auto routes = TRY(as(Code::kNetwork, host.routes(link.ifindex)));
  const auto neighbours = TRY(as(Code::kNetwork, host.neighbours(link.ifindex)));
  for (const auto& address : attachment.addresses) {
    if (!any(routes, [&](const auto& route) { return route.destination == Prefix::host(address); })) {
      return broken("the node's route to " + address.text() + " is missing");
    }
    if (!any(neighbours,
             [&](const auto& entry) { return entry.address == address && entry.mac == attachment.pod_mac; })) {
      return broken("the node does not know the MAC address of " + address.text());
    }
  }
  return {};
}

Result<void> check_datapath(const loader::Root& root, const Attachment& attachment) {
  auto opened = loader::program::Datapath::open(root);
  if (opened.failed_with(ENOENT)) return broken("the datapath is not loaded");
  auto datapath = TRY(as(Code::kDatapath, std::move(opened)));
  const auto hooks = TRY(as(Code::kDatapath, datapath.pod_attachment(attachment.host_ifindex, attachment.host_ifname)));
  if (!hooks.from_pod) return broken("program from_pod is missing from " + attachment.host_ifname);
  if (!hooks.to_pod) return broken("program to_pod is missing from " + attachment.host_ifname);
  const auto wanted = endpoint_of(attachment);
  for (const auto& address : attachment.addresses) {
    const auto endpoint = TRY(as(Code::kDatapath, datapath.endpoint(address)));
    if (!endpoint) return broken("the endpoints map lacks " + address.text());
    if (endpoint->ifindex != wanted.ifindex || endpoint->pod_mac != wanted.pod_mac) {
      return broken("the endpoints map has " + address.text() + " at another interface");
    }
  }
  return {};
}

Result<void> check_host_ports(const loader::Root& root, Netlink& host, const Attachment& attachment,
                              const Settings& settings) {
  if (settings.host_ports.empty()) return {};
  const auto ports = TRY(as(Code::kDatapath, loader::program::HostPorts::open(root)));
  const auto node = TRY(as(Code::kNetwork, loader::program::node_addresses(host)));
  const auto missing = TRY(as(Code::kDatapath, ports.missing(settings.host_ports, attachment.addresses, node)));
  if (missing) return broken(*missing);
  return {};
}

/// What is not reserved may be another pod's tomorrow.
Result<void> check_own_addresses(const loader::Root& root, const Attachment& attachment) {
  const loader::state::Ipam ipam(root);
  for (const auto& address : attachment.addresses) {
    if (!ipam.holds(address, {attachment.network, attachment.key.container_id, attachment.key.ifname})) {
      return broken("address " + address.text() + " is not reserved for the pod");
    }
  }
  return {};
}

}  // namespace

Result<nlohmann::json> check(const Request& request) {
  const Scope scope = TRY(Scope::parse(request.config));
  const Settings settings = TRY(Settings::parse(request));
  if (!settings.previous.is_object()) return bad_config("prevResult", "is missing, and CHECK needs it");
  const auto previous = TRY(OtherResult::parse(settings.previous, "prevResult"));
  const auto attachment = TRY(as(Code::kIo, loader::state::find_attachment(scope.root, key_of(request))));
  if (!attachment || !attachment->complete) {
    return failure(Code::kUnknownContainer,
                   "interface " + request.ifname + " of container " + request.container_id + " is not attached");
  }
  const auto netns = TRY(open_container(request));
  TRY(check_previous(previous, *attachment));
  auto pod = TRY(as(Code::kNetwork, Netlink::open_in(netns)));
  TRY(check_pod(pod, *attachment, previous));
  auto host = TRY(as(Code::kNetwork, Netlink::open()));
  TRY(check_host(host, *attachment));
  TRY(check_datapath(scope.root, *attachment));
  TRY(check_host_ports(scope.root, host, *attachment, settings));
  if (attachment->adopted) return nlohmann::json(nullptr);  // the addresses are the earlier plugin's
  if (attachment->ipam_type.empty()) TRY(check_own_addresses(scope.root, *attachment));
  if (!attachment->ipam_type.empty()) (void)TRY(run(delegate_of(request, attachment->ipam_type), "CHECK"));
  return nlohmann::json(nullptr);
}

}  // namespace sluice::cni
