#include "loader/observe/endpoints.hpp"

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "loader/net/netlink.hpp"
#include "loader/observe/pod_names.hpp"
#include "loader/program/datapath.hpp"

namespace sluice::loader::observe {

namespace {

using Known = std::map<Address, program::Endpoint>;

EndpointStatus recorded(const state::Attachment& attachment) {
  return {.pod = display_name(attachment),
          .container_id = attachment.key.container_id,
          .ifname = attachment.key.ifname,
          .network = attachment.network,
          .netns = attachment.netns,
          .host_ifname = attachment.host_ifname,
          .host_ifindex = attachment.host_ifindex,
          .mac = attachment.pod_mac,
          .mtu = attachment.mtu,
          .addresses = attachment.addresses,
          .through_stack = attachment.through_stack,
          .shaped = attachment.shaped,
          .problems = {}};
}

/// What the datapath knows and nobody has written down: one status for each interface.
std::vector<EndpointStatus> unrecorded(const Known& known, const std::set<Address>& seen,
                                       const std::vector<net::Link>& links) {
  std::map<int, EndpointStatus> by_interface;
  for (const auto& [address, endpoint] : known) {
    if (seen.contains(address)) continue;
    EndpointStatus& status = by_interface[endpoint.ifindex];
    status.host_ifindex = endpoint.ifindex;
    status.mac = endpoint.pod_mac;
    status.mtu = endpoint.mtu;
    status.through_stack = endpoint.through_stack;
    status.shaped = endpoint.shaped;
    status.addresses.push_back(address);
    const auto link = std::ranges::find(links, endpoint.ifindex, &net::Link::ifindex);
    if (link != links.end()) status.host_ifname = link->name;
  }
  std::vector<EndpointStatus> all;
  for (auto& [ifindex, status] : by_interface) {
    status.problems.emplace_back("the CNI plugin has no record of it");
    all.push_back(std::move(status));
  }
  return all;
}

void judge_addresses(EndpointStatus& status, const Known& known) {
  for (const Address& address : status.addresses) {
    const auto entry = known.find(address);
    if (entry == known.end())
      status.problems.push_back("the datapath does not know " + address.text());
    else if (entry->second.ifindex != status.host_ifindex)
      status.problems.push_back("the datapath delivers " + address.text() + " to another interface");
  }
}

Result<void> judge_interface(EndpointStatus& status, program::Datapath& datapath, const std::vector<net::Link>& links) {
  const auto link = std::ranges::find(links, status.host_ifindex, &net::Link::ifindex);
  if (link == links.end()) {
    status.problems.emplace_back("its interface is gone from this network namespace");
    return {};
  }
  if (!link->up) status.problems.push_back(link->name + " is down");
  const auto attached = TRY(datapath.pod_attachment(link->ifindex, link->name));
  status.mode = attached.mode;
  if (!attached.from_pod) status.problems.push_back("from_pod is not attached to " + link->name);
  if (!attached.to_pod) status.problems.push_back("to_pod is not attached to " + link->name);
  return {};
}

}  // namespace

Result<std::vector<EndpointStatus>> endpoints(const Root& root) {
  auto datapath = TRY(program::Datapath::open(root));
  Known known;
  for (const auto& [address, endpoint] : TRY(datapath.endpoints())) known[address] = endpoint;
  const auto links = TRY(TRY(net::Netlink::open()).links());

  std::vector<EndpointStatus> all;
  std::set<Address> seen;
  for (const auto& attachment : TRY(state::attachments(root))) {
    all.push_back(recorded(attachment));
    if (!attachment.complete) all.back().problems.emplace_back("the plugin's ADD has not come to its end");
    seen.insert(attachment.addresses.begin(), attachment.addresses.end());
  }
  std::ranges::move(unrecorded(known, seen, links), std::back_inserter(all));
  for (EndpointStatus& status : all) {
    judge_addresses(status, known);
    TRY(judge_interface(status, datapath, links));
  }
  std::ranges::sort(all, {}, [](const EndpointStatus& one) { return std::pair(one.pod, one.ifname); });
  return all;
}

}  // namespace sluice::loader::observe
