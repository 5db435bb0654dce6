#include "cni/interface.hpp"

#include <linux/rtnetlink.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>
#include <thread>

#include "loader/config.hpp"

namespace sluice::cni {

namespace {

using loader::net::Netlink;
using loader::net::Netns;
using loader::net::Route;

// Tables of the pod's rules: these two bytes ("SL"), then the interface's index.
constexpr int kFirstPolicyTable = 0x534c0000;
constexpr auto kLocalTimeout = std::chrono::seconds(5);
constexpr auto kLocalInterval = std::chrono::milliseconds(1);

bool is_default(const ResultRoute& route) { return route.destination.length == 0; }

Route by_gateway(const Prefix& destination, int ifindex) {
  Route route;
  route.family_v4 = destination.address.is_v4();
  if (destination.length != 0) route.destination = destination;
  route.gateway = gateway(route.family_v4);
  route.onlink = true;
  route.ifindex = ifindex;
  return route;
}

Prefix everywhere(bool v4) { return {v4 ? *Address::parse("0.0.0.0") : *Address::parse("::"), 0}; }

bool has_family(const std::vector<Address>& addresses, bool v4) {
  return std::any_of(addresses.begin(), addresses.end(), [=](const Address& address) { return address.is_v4() == v4; });
}

/// The routes that the pod is to have.
std::vector<ResultRoute> wanted_routes(const PodEnd& end) {
  if (!end.routes.empty()) return end.routes;
  std::vector<ResultRoute> routes;
  for (const bool v4 : {true, false}) {
    if (has_family(end.addresses, v4)) routes.push_back({everywhere(v4), {}});
  }
  return routes;
}

/// The default route of a family in a table of its own, and a rule to it for each of the addresses.
Result<void> route_by_source(Netlink& pod, const PodEnd& end, bool v4, int table) {
  Route route = by_gateway(everywhere(v4), end.ifindex);
  route.table = table;
  TRY(pod.add_route(route));
  for (const auto& address : end.addresses) {
    if (address.is_v4() == v4) TRY(pod.add_rule({address, table}));
  }
  return {};
}

/// Waits until the pod answers for its IPv6 addresses. The kernel acknowledges one before it makes the local route to
/// it, in a worker that has to wait for the rtnl lock (net/ipv6/addrconf.c, addrconf_dad_work), also without duplicate
/// address detection; a packet that comes earlier is lost.
Result<void> await_local(Netlink& pod, const PodEnd& end) {
  const auto deadline = std::chrono::steady_clock::now() + kLocalTimeout;
  for (const auto& address : end.addresses) {
    const auto is_local = [&](const Route& route) { return route.destination == Prefix::host(address); };
    while (!address.is_v4()) {
      const auto routes = TRY(pod.routes(end.ifindex, RT_TABLE_LOCAL));
      if (std::any_of(routes.begin(), routes.end(), is_local)) break;
      if (std::chrono::steady_clock::now() > deadline) {
        return refuse(ETIMEDOUT,
                      "wait for the local route to " + address.text() + ": the kernel has not made it in 5 s");
      }
      std::this_thread::sleep_for(kLocalInterval);
    }
  }
  return {};
}

}  // namespace

Address gateway(bool v4) { return *Address::parse(v4 ? loader::kGatewayV4 : loader::kGatewayV6); }

Result<Ends> make_pair(Netlink& host, const loader::net::VethSpec& spec, const Netns& pod) {
  auto made = host.create_veth(spec, pod);
  if (made.failed_with(EEXIST) && host.link(spec.host_name)) {
    TRY(host.delete_link(spec.host_name));
    made = host.create_veth(spec, pod);
  }
  if (!made) return made.error();
  const auto link = TRY(host.link(spec.host_name));
  return Ends{link.ifindex, link.peer_ifindex};
}

int policy_table(int pod_ifindex) { return kFirstPolicyTable + pod_ifindex; }

Result<PodRouting> configure_pod_end(Netlink& pod, const Netns& netns, const PodEnd& end) {
  if (has_family(end.addresses, false)) {
    // Runtimes make namespaces in which IPv6 is off until somebody wants it.
    TRY(netns.run([&] { return loader::net::set_sysctl("ipv6/conf/" + end.ifname + "/disable_ipv6", "0"); }));
  }
  TRY(pod.set_up(end.ifindex));
  for (const auto& address : end.addresses) TRY(pod.add_address(end.ifindex, Prefix::host(address)));
  for (const bool v4 : {true, false}) {
    if (has_family(end.addresses, v4)) TRY(pod.put_neighbour(end.ifindex, gateway(v4), loader::kHostMac));
  }

  PodRouting routing;
  for (const auto& wanted : wanted_routes(end)) {
    const bool v4 = wanted.destination.address.is_v4();
    auto added = pod.add_route(by_gateway(wanted.destination, end.ifindex));
    if (added) {
      routing.routes.push_back({wanted.destination, gateway(v4)});
    } else if (added.failed_with(EEXIST) && is_default(wanted)) {
      routing.policy_table = policy_table(end.ifindex);
      TRY(route_by_source(pod, end, v4, routing.policy_table));
    } else {
      return added.error();
    }
  }
  TRY(await_local(pod, end));
  return routing;
}

Result<void> remove_rules(Netlink& pod, const std::vector<Address>& addresses, int table) {
  for (const auto& address : addresses) TRY(pod.delete_rule({address, table}));
  return {};
}

Result<void> route_to_pod(Netlink& host, int host_ifindex, const std::vector<Address>& addresses, const Mac& pod_mac) {
  for (const auto& address : addresses) {
    TRY(host.put_neighbour(host_ifindex, address, pod_mac));
    Route route;
    route.destination = Prefix::host(address);
    route.ifindex = host_ifindex;
    TRY(host.put_route(route));
  }
  return {};
}

Result<void> limit(Netlink& netlink, int ifindex, const Rate& rate) {
  if (rate.bits_per_second == 0) return {};
  const auto burst = std::min<std::uint64_t>(rate.burst_bits / 8, std::numeric_limits<std::uint32_t>::max());
  return netlink.put_rate_limit(ifindex, rate.bits_per_second, static_cast<std::uint32_t>(burst));
}

Result<Mac> random_mac() {
  Mac mac;
  if (getrandom(mac.bytes.data(), mac.bytes.size(), 0) != static_cast<ssize_t>(mac.bytes.size())) {
    return fail(errno, "make a MAC address");
  }
  mac.bytes[0] = static_cast<std::uint8_t>((mac.bytes[0] & 0xfe) | 0x02);
  return mac;
}

}  // namespace sluice::cni
