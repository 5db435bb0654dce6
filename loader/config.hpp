/// The configuration of one node: /etc/sluice/sluice.yaml under the node's root. A node without the file runs on the
/// defaults given here. The keys of the file are those in README.md, "Configuration".
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "loader/root.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader {

/// How programs are attached to the pods' interfaces.
enum class AttachMode {
  kAuto,    ///< clsact: an attach or detach by tcx waits for an RCU grace period (6 to 25 ms) while it holds the RTNL
            ///< lock
  kTcx,     ///< tcx link pinned in bpffs (kernel 6.6): an interface with other tc users, its own ingress qdisc included
  kClsact,  ///< cls_bpf filters on a clsact qdisc: every kernel
};

/// How pods of different nodes reach each other.
enum class Mode {
  kNone,     ///< however the host's stack routes
  kOverlay,  ///< by VXLAN tunnels between the nodes (RFC 7348)
  kNative,   ///< without: by routes to the pods of the others
  kMixed,    ///< by routes to the nodes on the same link, by tunnels to the others
};

/// How xdp_uplink is attached to the uplinks.
enum class Xdp : std::uint8_t {
  kOff,
  kAuto,     ///< native where it is sure to work, else generic
  kNative,   ///< in the driver, before the kernel has made a packet of the frame; a driver without it: not at all
  kGeneric,  ///< in the kernel, with every driver: behind the making of the packet
};

/// How an outside client's packet gets to an endpoint on another node.
enum class LoadBalancerMode : std::uint8_t {
  kSnat,  ///< under the address of the node that was asked, which the answers come back by
  kDsr,   ///< under the client's address; the endpoint's node answers it directly. Only with Mode::kOverlay
};

/// How new connections are spread over a Service's endpoints, where the Service does not say it itself.
enum class Algorithm : std::uint8_t {
  kRandom,
  kMaglev,  ///< by the client's address and port, the same on every node
};

/// How long a flow entry is believed without traffic. TCP's states are those of struct flow_entry (maps/flow.h).
struct Timeouts {
  std::chrono::seconds tcp_opening{60};         ///< SYN seen, no answer yet
  std::chrono::seconds tcp_established{86400};  ///< RFC 5382, REQ-5: not less than 2 h 4 min
  std::chrono::seconds tcp_closing{60};         ///< FIN seen
  std::chrono::seconds tcp_closed{10};          ///< RST seen, or FIN from both ends
  std::chrono::seconds udp_opening{30};         ///< no answer yet
  std::chrono::seconds udp_established{180};    ///< RFC 4787, REQ-5: not less than 2 min
  std::chrono::seconds icmp{30};
  std::chrono::seconds other{600};
  bool operator==(const Timeouts&) const = default;
};

/// Entries of each map. A map that is pinned already keeps its size until it is removed.
struct MapSizes {
  std::uint32_t flows = 262144;
  std::uint32_t endpoints = 8192;
  std::uint32_t fragments = 8192;
  std::uint32_t ipcache = 131072;         ///< addresses and blocks of the cluster outside this node
  std::uint32_t nodes = 8192;             ///< of the cluster, this one included
  std::uint32_t policies = 65536;         ///< rule sets of one direction
  std::uint32_t policy_ports = 131072;    ///< a rule set's port prefixes
  std::uint32_t peers = 524288;           ///< members of all sets of peers
  std::uint32_t services = 65536;         ///< frontends: addresses and ports of Services
  std::uint32_t backend_slots = 1048576;  ///< what frontends choose from: a slot for each backend, more with Maglev
  std::uint32_t backends = 131072;        ///< ports of endpoints
  std::uint32_t source_ranges = 16384;
  std::uint32_t affinity = 65536;
  std::uint32_t denied = 16384;   ///< blocks of the deny list
  std::uint32_t sockets = 65536;  ///< sockets that were connected to a Service's backend
  bool operator==(const MapSizes&) const = default;
};

/// What happens to what policy denies, besides its being dropped in silence; a namespace or a pod may say otherwise
/// (loader/state/policy/mode.hpp).
struct PolicyMode {
  bool audit = false;   ///< it is counted and shown, and goes through
  bool reject = false;  ///< it is answered: RST, else ICMP "administratively prohibited"
  bool operator==(const PolicyMode&) const = default;
};

/// A router that this node's BIRD talks to. It must be on a link of the node.
struct BgpPeer {
  Address address;  ///< its family is that of the session's routes
  std::uint32_t asn = 0;
  std::uint16_t port = 179;
  std::string password;  ///< RFC 2385; empty: none
  bool bfd = false;      ///< RFC 5882: who falls silent is noticed in less than a second
  bool operator==(const BgpPeer&) const = default;
};

struct Bgp {
  std::uint32_t asn = 0;             ///< this node's
  std::optional<Address> router_id;  ///< IPv4; nullopt: the node's first IPv4 address
  std::vector<BgpPeer> peers;
  bool operator==(const Bgp&) const = default;
};

struct NodeConfig {
  std::string node_name;  ///< empty: the host name
  /// Sources of the ICMP errors that the datapath sends, without any the pod gateway; ends of tunnels; where sockets of
  /// the node that ask Services are taken to be, and where 127.0.0.1 and ::1 lead them at a node port.
  std::vector<Address> node_addresses;
  Mode mode = Mode::kNone;
  std::uint32_t vni = 4096;          ///< of the overlay, the same on all nodes: 1 to 2^24 - 1
  std::uint16_t tunnel_port = 8472;  ///< UDP, the same on all nodes
  std::vector<Prefix> pod_cidrs;     ///< at most one of each family is given to a pod
  /// Interfaces to the world. nullopt: those of the default routes, else the one that has a node address.
  std::optional<std::vector<std::string>> uplinks;
  Xdp xdp = Xdp::kOff;
  LoadBalancerMode load_balancer_mode = LoadBalancerMode::kSnat;
  std::optional<bool> masquerade;            ///< nullopt: in every mode but kNone
  std::vector<Prefix> non_masquerade_cidrs;  ///< reached by pods under their own addresses, as their blocks are
  int mtu = 0;  ///< of the pods' interfaces; 0: that of the uplink, less what a tunnel needs
  AttachMode pod_attach = AttachMode::kAuto;
  bool forwarding = true;  ///< switch on IP forwarding in the node's namespace
  std::optional<SocketAddress> metrics_address = SocketAddress{Address::parse("127.0.0.1").value_or({}), 10249};
  std::optional<SocketAddress> health_address = SocketAddress{Address(), 10256};  ///< of all addresses
  PolicyMode policy;
  Algorithm algorithm = Algorithm::kRandom;
  bool socket_balancing = true;  ///< give sockets a backend when they connect to a Service, not each of their packets
  std::string cgroup;            ///< of the node's processes and its pods', for that; empty: the root of all
  std::optional<Bgp> bgp;        ///< what the agent tells BIRD
  Timeouts timeouts;
  MapSizes maps;
  bool operator==(const NodeConfig&) const = default;

  /// The node's name in the cluster: the configured one, else the host's.
  [[nodiscard]] std::string name() const;
  /// What pods send to the world leaves under the node's address.
  [[nodiscard]] bool masquerades() const { return masquerade.value_or(mode != Mode::kNone); }
  /// Some other nodes are reached by tunnels, some by routes.
  [[nodiscard]] bool tunnels() const { return mode == Mode::kOverlay || mode == Mode::kMixed; }
  [[nodiscard]] bool routes() const { return mode == Mode::kNative || mode == Mode::kMixed; }

  /// ENOENT is not an error: the defaults. EINVAL: the file is malformed; names the file, the line and the key.
  static Result<NodeConfig> read(const Root& root);
  static Result<NodeConfig> parse(const std::string& yaml, const std::string& file_name);
};

/// The most blocks that nonMasqueradeCIDRs and podCIDRs may have together: the programs compare one after the other.
inline constexpr std::size_t kMostUnmasqueraded = 32;

/// The address of the pods' default gateway, the same on every node: no packet is ever sent to it, it only has the
/// neighbour entry (RFC 3927 and RFC 4291 link-local).
inline constexpr const char* kGatewayV4 = "169.254.1.1";
inline constexpr const char* kGatewayV6 = "fe80::1";

/// The MAC addresses of the frames inside tunnels: the device of every node has that of pods' host ends, and no device
/// has that which they come from, since a VXLAN device takes a frame from its own address for a loop.
inline constexpr Mac kTunnelSourceMac{{0x02, 0x53, 0x4c, 0x00, 0x00, 0x02}};

/// The MAC address of every pod interface's host end. One for all, so that a pod's neighbour entry never changes.
inline constexpr Mac kHostMac{{0x02, 0x53, 0x4c, 0x00, 0x00, 0x01}};

}  // namespace sluice::loader
