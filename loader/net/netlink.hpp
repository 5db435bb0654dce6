/// Links, addresses, routes and neighbours over one rtnetlink socket (libnl-route-3; its types stay in netlink.cpp).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "loader/net/netns.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader::net {

struct Link {
  int ifindex = 0;
  int peer_ifindex = 0;    ///< IFLA_LINK: a veth's other end, in the namespace where that end is; 0: none
  int master_ifindex = 0;  ///< the bridge, bond, ... that it is a port of; 0: none
  std::string name;
  std::string alias;  ///< IFLA_IFALIAS, empty when unset
  std::string kind;   ///< "veth", "vxlan", "bridge", ...; empty for physical devices
  Mac mac;
  int mtu = 0;
  bool up = false;      ///< administratively (IFF_UP)
  bool no_arp = false;  ///< neighbours are not asked for: all have the device's own MAC (IFF_NOARP)
};

/// A veth pair in one request: the host's end in this socket's namespace, the pod's end in `pod_netns`.
struct VethSpec {
  std::string host_name;
  std::string host_alias;  ///< empty: none
  Mac host_mac;
  std::string pod_name;
  Mac pod_mac;
  int mtu = 1500;
};

/// A VXLAN device whose tunnels are chosen packet by packet (collect metadata): programs say where each goes.
struct VxlanSpec {
  std::string name;
  Mac mac;
  int mtu = 1500;
  std::uint16_t port = 4789;
  bool operator==(const VxlanSpec&) const = default;
};

struct Route {
  std::optional<Prefix> destination;  ///< nullopt: the default route of `family_v4`
  bool family_v4 = true;              ///< used for the default route only
  std::optional<Address> gateway;     ///< nullopt: on link
  bool onlink = false;                ///< the gateway is on the link although no route says so
  int ifindex = 0;
  std::optional<Address> source;  ///< preferred source address
  int mtu = 0;                    ///< 0: the device's
  int table = 0;                  ///< 0: the main table
  bool to_ourselves = false;      ///< never in a request: the addresses are this namespace's own
  int protocol = 0;               ///< who made it (RTPROT_*); 0 in a request: RTPROT_STATIC
  unsigned priority = 0;          ///< of routes to the same destination the lowest counts; 0 in a request: the kernel's
};

/// "Packets from `source` are routed by `table` alone, where that has a route for them."
struct Rule {
  Address source;
  int table = 0;
  bool operator==(const Rule&) const = default;
};

struct Neighbour {
  Address address;
  Mac mac;
  bool permanent = false;
};

/// What the kernel knows of a neighbour (its NUD states).
enum class NeighbourState : std::uint8_t {
  kUnknown,   ///< nobody has asked for it lately
  kAnswers,   ///< it has just answered, or its address is given by hand
  kAnswered,  ///< it has answered, and not been asked since
  kSilent,    ///< it is being asked and does not answer
};

/// One rtnetlink socket. It belongs to the namespace that the thread is in when it is opened, for good.
/// Move-only; not for use by two threads at a time. Every call blocks until the kernel has acknowledged.
class Netlink {
 public:
  static Result<Netlink> open();
  static Result<Netlink> open_in(const Netns& netns);

  Netlink(Netlink&&) noexcept;
  Netlink& operator=(Netlink&&) noexcept;
  ~Netlink();

  /// ENODEV: no such link.
  Result<Link> link(const std::string& name);
  Result<Link> link(int ifindex);
  Result<std::vector<Link>> links();

  /// Makes the pair, both ends down; the host's end never gets an IPv6 link-local address. Nothing is left after an
  /// error. EEXIST: a name is taken. EINVAL: not a name that a device can have.
  Result<void> create_veth(const VethSpec& spec, const Netns& pod_netns);
  /// A bridge, up. EEXIST: the name is taken.
  Result<void> create_bridge(const std::string& name, int mtu);
  /// The device, up, without neighbours to ask for (Link::no_arp) and without an IPv6 link-local address. Nothing is
  /// left after an error. EEXIST: the name is taken.
  Result<void> create_vxlan(const VxlanSpec& spec);
  /// What the device is made as. ENODEV: no such link. nullopt: it is none that create_vxlan could have made.
  Result<std::optional<VxlanSpec>> vxlan(const std::string& name);
  /// Succeeds when the link is already gone.
  Result<void> delete_link(const std::string& name);
  Result<void> set_up(int ifindex);
  Result<void> set_no_arp(int ifindex);
  Result<void> set_mtu(int ifindex, int mtu);
  Result<void> set_mac(int ifindex, const Mac& mac);
  Result<void> set_master(int ifindex, int master_ifindex);

  /// EEXIST: it is there already. Host bits are kept. IPv6 addresses are added without duplicate address detection
  /// (IFA_F_NODAD).
  Result<void> add_address(int ifindex, const Prefix& address);
  /// 0: of all devices.
  Result<std::vector<Prefix>> addresses(int ifindex);

  /// Replaces a route of the same table to the same destination.
  Result<void> put_route(const Route& route);
  /// EEXIST: the table has a route to the same destination, over whatever device.
  Result<void> add_route(const Route& route);
  /// Deletes the route of the same table to the same destination over the same device, where a protocol is given only
  /// one of that. Succeeds when it is gone.
  Result<void> delete_route(const Route& route);
  /// The unicast and local routes over this device of one table, those that the kernel made from addresses included.
  /// 0: the main table.
  Result<std::vector<Route>> routes(int ifindex, int table = 0);

  /// The unicast routes of the main table that have this protocol.
  Result<std::vector<Route>> routes_of(int protocol);

  /// The entry of the routing tables that packets to this address go by; of several ways the first. A destination of
  /// nullopt: it is the default route. ENETUNREACH, EHOSTUNREACH and the like: there is none, or one that refuses.
  Result<Route> route_to(const Address& address);

  /// A rule is nobody's device's: it stays until it is deleted. Adding one that is there is no error.
  Result<void> add_rule(const Rule& rule);
  /// Succeeds when there is no such rule.
  Result<void> delete_rule(const Rule& rule);
  /// Those of both families that are of this shape.
  Result<std::vector<Rule>> rules();

  /// A permanent neighbour entry (NUD_PERMANENT): no ARP or ND ever runs for it. Replaces an old one.
  Result<void> put_neighbour(int ifindex, const Address& address, const Mac& mac);
  /// The entries that have a MAC.
  Result<std::vector<Neighbour>> neighbours(int ifindex);
  Result<NeighbourState> neighbour(int ifindex, const Address& address);

  /// Limits what leaves through the device: a root token bucket (tbf) that lets bursts of `burst_bytes` through and
  /// holds packets back for at most 25 ms, as the bandwidth plugin of containernetworking does. Replaces an old one.
  /// ERANGE: the rate is under one byte a second.
  Result<void> put_rate_limit(int ifindex, std::uint64_t bits_per_second, std::uint32_t burst_bytes);

 private:
  struct Socket;
  Result<void> write_route(const Route& route, int flags);
  explicit Netlink(std::unique_ptr<Socket> socket);

  std::unique_ptr<Socket> socket_;
};

/// Writes /proc/sys/net/<key> of the namespace that the calling thread is in, e.g. ("ipv4/ip_forward", "1").
/// Writes nothing where the value is already so (a read-only /proc then does not matter).
Result<void> set_sysctl(const std::string& key, const std::string& value);

}  // namespace sluice::loader::net
