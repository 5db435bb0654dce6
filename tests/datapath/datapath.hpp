/// The shipped programs of a node with pods, run on packets by BPF_PROG_TEST_RUN: packet in, packet, verdict and map
/// state out. Nothing is attached and no packet travels; interfaces are real ones, since programs ask for their
/// ifindex.
#pragma once

#include <array>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "loader/config.hpp"
#include "loader/net/netlink.hpp"
#include "loader/program/tracer.hpp"
#include "maps/drop_reason.h"
#include "maps/flow.h"
#include "maps/metrics.h"
#include "maps/observer.h"
#include "maps/policy.h"
#include "tests/datapath/interpreter.hpp"
#include "tests/datapath/packet.hpp"
#include "tests/datapath/service_maps.hpp"

struct bpf_object;
struct pod_bpf;

namespace sluice::test {

struct Settings {
  /// By maps::flow_timeout; without one, as the program has it.
  std::array<std::optional<std::chrono::seconds>, maps::TIMEOUT_MAX> timeouts{};
  std::uint32_t flows = 4096;
  std::uint32_t fragments = 1024;
  std::uint32_t endpoints = 64;
  std::uint32_t affinity = 1024;
  /// The tables of flows, fragments and affinity refuse what finds them full, as an LRU does only by bad luck.
  bool full_refuses = false;
  std::uint32_t icmp_errors_per_second = 1000;
  std::string icmp_source_v4 = "192.0.2.1";
  std::string icmp_source_v6 = "2001:db8::1";
  std::string gateway_v4 = loader::kGatewayV4;
  std::string gateway_v6 = loader::kGatewayV6;
  Mac host_mac = loader::kHostMac;
  bool overlay = false, native = false;
  std::uint16_t tunnel_port = 8472;
  bool masquerade = false;
  bool direct = false;                     ///< outside clients of endpoints on other nodes are answered by those
  std::vector<std::string> unmasqueraded;  ///< blocks

  bool operator==(const Settings&) const = default;
};

struct PodOptions {
  std::uint16_t mtu = 1500;
  bool through_stack = false;
  bool shaped = false;
  std::optional<Mac> mac;  ///< of the pod's end; by itself, one for each pod
};

/// An uplink, as the loader would write it. Empty addresses: none of the family.
struct UplinkOptions {
  std::string v4 = "192.0.2.1", v6 = "2001:db8::1";
  std::uint32_t mtu = 1500;
  std::uint16_t kept_first = 30000, kept_last = 60999;  ///< ports that are the node's own
};

inline constexpr std::uint32_t kVni = 7;

/// The router's that is the next hop of an uplink.
inline constexpr Mac kRouterMac{{0x02, 0, 0, 0, 1, 1}};

/// One direction of a policy: who may, for a port (0: every) of a protocol (0: every).
struct PolicyEntry {
  std::uint8_t proto = 0;
  std::uint16_t port = 0;
  unsigned length = 0;                                              ///< of the port's prefix, in bits
  std::vector<std::pair<std::uint32_t, maps::peer_verdict>> peers;  ///< by class
  maps::peer_verdict everyone{};
};

/// What became of a packet.
struct Verdict {
  enum Kind { kDelivered, kThroughQdisc, kToStack, kTunnelled, kSentOut, kDropped, kTold, kAnswered, kOddity };

  Kind kind = kOddity;
  std::string pod;  ///< kDelivered, kThroughQdisc; kTunnelled: the node's number; kSentOut: the uplink
  maps::drop_reason reason = maps::DROP_NONE;  ///< kDropped, kTold
  bool operator==(const Verdict&) const = default;
};
Verdict delivered_to(const std::string& pod);
Verdict through_qdisc_of(const std::string& pod);
Verdict to_stack();
/// Into a tunnel to the node with this number.
Verdict tunnelled_to(std::uint32_t node);
/// Out of this uplink, whose next hop the kernel looks up after the program.
Verdict sent_out_of(const std::string& uplink);
Verdict dropped(maps::drop_reason reason);
/// Dropped, and an ICMP error goes back to the sender.
Verdict told_sender(maps::drop_reason reason);
/// The packet has become the answer to itself.
Verdict answered();
std::ostream& operator<<(std::ostream& out, const Verdict& verdict);

/// What a program made of a packet. Equal to a verdict only where nothing else is wrong: the frame that comes out must
/// be the one that went in with just what its way changes (TTL, MAC addresses, priority tags), its checksums right, and
/// exactly one metric counted for it.
struct Outcome {
  Verdict verdict;
  Bytes sent, got;
  std::vector<std::string> problems;

  bool operator==(const Verdict& want) const { return verdict == want && problems.empty(); }
};
std::ostream& operator<<(std::ostream& out, const Outcome& outcome);

/// The flow entry of a connection, from the side of one direction.
struct Flow {
  maps::flow_entry entry;
  unsigned dir;

  [[nodiscard]] const maps::flow_half& half() const { return entry.half[dir]; }
  [[nodiscard]] const maps::flow_half& back() const { return entry.half[1 - dir]; }
};

/// Each starts with empty maps and no pod. What was loaded with the same settings before is used again: a load takes
/// half a second under emulation.
class Datapath {
 public:
  /// Moves the process into a network namespace of its own with interfaces for pods; once, before the first Datapath.
  static void enter_namespace();

  explicit Datapath(const Settings& settings = {});
  Datapath(const Datapath&) = delete;
  ~Datapath();

  /// A pod with an interface, known by its addresses. A name that is known already is changed.
  Datapath& pod(const std::string& name, const char* v4, const char* v6, const PodOptions& options = {});
  Datapath& forget_pod(const std::string& name);
  /// A frontend "10.96.0.1:80" of `proto` with these backends, all of them to be chosen. One with the same address is
  /// replaced; the numbers of backends are given out anew.
  Datapath& service(const SocketAddress& frontend, std::uint8_t proto, const std::vector<SocketAddress>& backends,
                    const ServiceOptions& options = {});
  /// An address of which unserved ports are refused.
  Datapath& service_address(const char* address);
  /// The endpoints that a service had no longer serve: their state is `state`.
  Datapath& backends_become(maps::backend_state state);
  /// Rule set `id`; `flags` besides POLICY_IN_FORCE.
  Datapath& policy(std::uint32_t id, std::uint32_t flags, const std::vector<PolicyEntry>& entries);
  /// What policies know of a pod: its classes and its rule sets.
  Datapath& pod_policy(const std::string& pod, std::uint32_t identity, std::uint32_t egress, std::uint32_t ingress,
                       std::uint32_t blocks = 0);
  /// What is known of an address that is no pod's of this node: to policies, and which other node it is behind.
  Datapath& known_address(const char* prefix, std::uint32_t identity, std::uint32_t blocks = 0, std::uint32_t node = 0);
  /// Packets from this block come in by no uplink.
  Datapath& deny(const char* block);
  /// The deny list is empty again.
  Datapath& allow_all();
  /// The other end of the tunnels with node `number`; `flags` are NODE_*.
  Datapath& node(std::uint32_t number, const char* address, std::uint32_t flags = 0);
  /// The interface of `pod` takes the place of the tunnel device; the uplink's MTU is 1500.
  Datapath& tunnel_device(const std::string& pod);
  /// Pins the maps that policy is written to as the loader pins its own, for those who open them by name.
  void pin_maps(const std::filesystem::path& folder) const;
  /// The interface of `pod` becomes an uplink, by which the namespace's default routes go to a router.
  Datapath& uplink(const std::string& pod, const UplinkOptions& options = {});
  /// Tells the programs that something has changed.
  Datapath& new_epoch();

  [[nodiscard]] Mac mac(const std::string& pod) const;
  [[nodiscard]] std::uint32_t ifindex(const std::string& pod) const;
  [[nodiscard]] std::array<Address, 2> addresses(const std::string& pod) const;

  /// from_pod at the interface of `pod`.
  Outcome from_pod(const std::string& pod, const Packet& packet);
  /// The same of a packet that leaves as `becomes`, but for TTL and MAC addresses.
  Outcome from_pod(const std::string& pod, const Packet& packet, const Packet& becomes);
  /// from_pod on a frame that is made of bytes alone; if it is delivered, then to "somebody".
  Outcome from_pod(const std::string& pod, const Bytes& frame);
  /// to_pod at the interface of `pod`, on a frame from the host's stack.
  Outcome to_pod(const std::string& pod, const Packet& packet);
  /// from_overlay at the interface of `pod`, on a frame that no tunnel has brought: a test run has none.
  Outcome from_overlay(const std::string& pod, const Packet& packet);
  /// to_overlay at the interface of `pod`, on a frame that the host's stack sends by it.
  Outcome to_overlay(const std::string& pod, const Packet& packet);
  /// from_uplink at the interface of `pod`, on a frame from a router to it.
  Outcome from_uplink(const std::string& pod, const Packet& packet);
  Outcome from_uplink(const std::string& pod, const Packet& packet, const Packet& becomes);
  Outcome from_uplink(const std::string& pod, const Bytes& frame);
  Outcome to_pod(const std::string& pod, const Bytes& frame);
  Outcome to_pod(const std::string& pod, const Packet& packet, const Packet& becomes);
  /// What from_pod does with the packet, counted. Nothing comes of it.
  [[nodiscard]] Path path_from_pod(const std::string& pod, const Packet& packet) const;
  /// What a trace of the packet (loader/program/tracer.hpp) at `hook` of the interface of `pod` gives.
  loader::program::Traced trace(maps::hook hook, const std::string& pod, const Packet& packet);
  /// The verdict of such a trace.
  Verdict traced(maps::hook hook, const std::string& pod, const Packet& packet);
  /// Every byte of every map that the programs share with each other and with user space, by name.
  [[nodiscard]] std::map<std::string, Bytes> contents() const;

  [[nodiscard]] std::optional<Flow> flow(const Tuple& tuple) const;
  [[nodiscard]] std::optional<Flow> flow(const Packet& packet) const { return flow(packet.tuple()); }
  [[nodiscard]] std::vector<maps::flow_entry> flows() const;
  /// Makes a flow look as if it was last used `seconds` ago.
  void age(const Packet& packet, unsigned seconds);
  /// Erases a flow, as an LRU would.
  void forget(const Packet& packet);

  [[nodiscard]] std::uint64_t counter(maps::counter counter) const;
  [[nodiscard]] maps::metric metric(maps::drop_reason reason, maps::hook hook) const;

  /// Puts an observer into `slot`; `filter.lease_ns` 0 becomes an hour. Its events are read by `events`.
  void observe(unsigned slot, maps::observer_filter filter, std::uint32_t ring_bytes = 1 << 16);
  std::vector<maps::flow_event> events(unsigned slot);
  [[nodiscard]] maps::observer_filter filter(unsigned slot) const;

  /// Descriptor of "from_pod", "to_pod", "from_overlay" or "from_uplink".
  [[nodiscard]] int program(const char* name) const;
  /// Descriptor of the map `flows`.
  [[nodiscard]] int flows_map() const;
  /// What is loaded, and how: for objects that share its maps.
  [[nodiscard]] const bpf_object& object() const;
  [[nodiscard]] const Settings& settings() const { return settings_; }

 private:
  struct Pod;
  struct Observer;

  [[nodiscard]] const Pod& find(const std::string& name) const;
  /// The frame of a packet with the MAC addresses that it should have at `hook` of the pod's interface.
  [[nodiscard]] Bytes frame_at(maps::hook hook, const std::string& pod, const Packet& packet) const;
  [[nodiscard]] std::string name_of(std::uint32_t ifindex) const;
  Outcome run(maps::hook hook, const Pod& pod, const Bytes& frame, const Packet* packet,
              const std::optional<Bytes>& becomes = {});
  Verdict judge(maps::hook hook, std::uint32_t action, const Packet* packet, std::vector<std::string>& problems);
  void compare(const Verdict& verdict, const Bytes& left_as, Outcome& outcome) const;

  pod_bpf* skeleton_;
  std::unique_ptr<ServiceMaps> services_;
  Settings settings_;
  std::vector<loader::net::Route> routes_;  ///< of uplinks, which go with this
  std::vector<Pod> pods_;
  std::vector<std::unique_ptr<Observer>> observers_;
  std::map<maps::hook, loader::program::Tracer> tracers_;
  std::vector<maps::metric> metrics_;  ///< as they were after the last run, by metric_index()
  std::uint64_t answered_ = 0;
  std::uint32_t sets_ = 0;  ///< numbers given out so far
};

}  // namespace sluice::test
