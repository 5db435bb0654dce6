#include "cni/adopt.hpp"

#include <cerrno>

#include "cni/attachment.hpp"
#include "cni/endpoint.hpp"
#include "cni/error.hpp"
#include "cni/interface.hpp"
#include "cni/result.hpp"
#include "cni/take_down.hpp"
#include "loader/undo.hpp"

namespace sluice::cni {

namespace {

using loader::net::Link;
using loader::net::Netlink;
using loader::state::Attachment;

struct Pair {
  Link pod;
  Link host;
};

Result<Pair> find_pair(Netlink& host, Netlink& pod, const std::string& ifname) {
  const auto refused = [&](const std::string& fault) {
    return failure(Code::kForeignInterface, "the earlier plugin's interface " + ifname + " " + fault);
  };
  auto inside = pod.link(ifname);
  if (inside.failed_with(ENODEV)) return refused("is not there");
  if (!inside) return with_code(Code::kNetwork, inside.error());
  if (inside->kind != "veth") return refused("is not one end of a veth pair");
  auto outside = host.link(inside->peer_ifindex);
  if (!outside || outside->kind != "veth" || outside->peer_ifindex != inside->ifindex) {
    return refused("has its other end elsewhere than in the node's network namespace");
  }
  if (outside->master_ifindex != 0) {
    return refused("hangs on a bridge by its other end " + outside->name + ", where packets pass Sluice's routing by");
  }
  return Pair{*std::move(inside), *std::move(outside)};
}

/// The addresses that the earlier plugin gave to its interface.
std::vector<Address> addresses_of(const OtherResult& previous, std::size_t interface) {
  std::vector<Address> addresses;
  for (const auto& ip : previous.ips) {
    if (ip.interface.value_or(interface) == interface) addresses.push_back(ip.address.address);
  }
  return addresses;
}

/// Each end knows the other's MAC for good, as on an interface of Sluice's own: the programs answer for no other
/// gateway, and take packets to the gateway's MAC alone.
Result<void> introduce(Netlink& host, Netlink& pod, const Pair& pair, const std::vector<Address>& addresses) {
  TRY(host.set_mac(pair.host.ifindex, loader::kHostMac));
  for (const auto& address : addresses) TRY(host.put_neighbour(pair.host.ifindex, address, pair.pod.mac));
  for (const auto& route : TRY(pod.routes(pair.pod.ifindex))) {
    if (route.gateway) TRY(pod.put_neighbour(pair.pod.ifindex, *route.gateway, loader::kHostMac));
  }
  return {};
}

/// The prevResult, with the host end's new MAC.
nlohmann::json answer(const Settings& settings, const std::string& host_ifname, const std::string& version) {
  auto result = Answer(settings.previous).in_version(version);
  for (auto& interface : result["interfaces"]) {
    if (interface.value("name", "") == host_ifname && interface.value("sandbox", "").empty()) {
      interface["mac"] = loader::kHostMac.text();
    }
  }
  return result;
}

}  // namespace

Result<nlohmann::json> adopt(const Request& request, const Scope& scope, const Settings& settings, const Node& node,
                             const loader::net::Netns& netns, Netlink& host, loader::program::Datapath& datapath) {
  const auto previous = TRY(OtherResult::parse(settings.previous, "prevResult"));
  const auto index = previous.find_in_sandbox(request.ifname);
  if (!index) return failure(Code::kForeignInterface, "prevResult has no interface " + request.ifname);
  auto pod = TRY(as(Code::kNetwork, Netlink::open_in(netns)));
  const Pair pair = TRY(find_pair(host, pod, request.ifname));
  Attachment attachment = plan(request, scope, settings, node);
  attachment.adopted = true;
  attachment.host_ifname = pair.host.name;
  attachment.host_ifindex = pair.host.ifindex;
  attachment.pod_mac = pair.pod.mac;
  attachment.mtu = pair.pod.mtu;
  attachment.addresses = addresses_of(previous, *index);
  attachment.shaped = false;
  attachment.ipam_type.clear();
  attachment.ipam_config.clear();
  if (attachment.addresses.empty()) {
    return failure(Code::kForeignInterface, "the earlier plugin gave interface " + request.ifname + " no address");
  }
  auto lock = TRY(claim(request, scope, host));
  loader::Undo undo([&] {
    (void)host.set_mac(pair.host.ifindex, pair.host.mac);
    if (take_down(scope.root, lock, attachment, request.path)) (void)lock.remove();
  });
  TRY(lock.write(attachment));

  TRY(attach_programs(datapath, attachment, node.attach));
  TRY(as(Code::kNetwork, introduce(host, pod, pair, attachment.addresses)));
  TRY(make_known(datapath, host, attachment));
  TRY(open_host_ports(scope.root, host, attachment));
  attachment.complete = true;
  TRY(lock.write(attachment));
  TRY(await_policy(datapath, attachment));
  undo.release();
  return answer(settings, pair.host.name, request.version);
}

}  // namespace sluice::cni
