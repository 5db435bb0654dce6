/// The pod's interface: a veth pair, and what stands on both of its ends.
///
/// A pod has its address alone (/32, /128) and everything else by a link-local gateway whose MAC address it is told, as
/// the host is told the pod's: neither ARP nor neighbour discovery ever runs.
#pragma once

#include <string>
#include <vector>

#include "cni/result.hpp"
#include "cni/settings.hpp"
#include "loader/net/netlink.hpp"
#include "loader/net/netns.hpp"

namespace sluice::cni {

/// The gateway of the pods of a family (loader/config.hpp).
Address gateway(bool v4);

struct Ends {
  int host_ifindex = 0;
  int pod_ifindex = 0;
};

/// Makes the pair, both ends down. A host end of the same name is a dead attempt's, and is replaced. EEXIST: the pod
/// has an interface of the name.
Result<Ends> make_pair(loader::net::Netlink& host, const loader::net::VethSpec& spec, const loader::net::Netns& pod);

/// What the pod's end is given.
struct PodEnd {
  int ifindex = 0;
  std::string ifname;
  std::vector<Address> addresses;
  std::vector<ResultRoute> routes;  ///< their gateways do not count; empty: the default routes
};

/// How the pod's end came out.
struct PodRouting {
  std::vector<ResultRoute> routes;  ///< those of the main table
  int policy_table = 0;             ///< not 0: another interface has the default route, rules lead to this table
};

/// The table that a rule of the pod's interface would lead to.
int policy_table(int pod_ifindex);

/// Sets the pod's end up and puts addresses, neighbours and routes there. Where another interface has the default
/// route, what the pod sends from the new addresses leaves by the new interface all the same, by a rule.
Result<PodRouting> configure_pod_end(loader::net::Netlink& pod, const loader::net::Netns& netns, const PodEnd& end);

/// Takes off the rules to `table` that are there. They are all that outlives the interface.
Result<void> remove_rules(loader::net::Netlink& pod, const std::vector<Address>& addresses, int table);

/// Routes and neighbours on the host, by the host's end, which is up.
Result<void> route_to_pod(loader::net::Netlink& host, int host_ifindex, const std::vector<Address>& addresses,
                          const Mac& pod_mac);

/// No limit where the rate is 0.
Result<void> limit(loader::net::Netlink& netlink, int ifindex, const Rate& rate);

/// A random address of the locally administered kind (IEEE 802, 8.2).
Result<Mac> random_mac();

}  // namespace sluice::cni
