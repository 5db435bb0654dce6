/// What the datapath does with a packet that nobody has sent: built from words, and given to the loaded programs in a
/// run that writes nothing (loader/program/tracer.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "loader/observe/cluster_names.hpp"
#include "loader/observe/flows.hpp"
#include "loader/program/socket_tracer.hpp"
#include "loader/program/tracer.hpp"
#include "loader/root.hpp"
#include "maps/address.hpp"
#include "maps/metrics.h"
#include "maps/result.hpp"

namespace sluice::loader::observe {

/// One end of a packet in words.
struct EndWords {
  std::string host;                   ///< "default/web", "10.0.0.5", "fd00::5", "node"
  std::optional<std::uint16_t> port;  ///< 1 to 65535
  std::optional<std::uint8_t> proto;  ///< tcp, udp, sctp, icmp (of either family)

  /// "HOST[:PORT][/PROTOCOL]"; an IPv6 address with a port is in brackets. EINVAL: it is none of that.
  static Result<EndWords> parse(const std::string& text);
};

/// This node itself, as the host's stack sends.
inline constexpr const char* kThisNode = "node";

struct TraceRequest {
  EndWords from, to;
  std::optional<bool> v4;      ///< which family, where both ends have both; without it IPv4
  std::uint8_t tcp_flags = 0;  ///< TCP_FLAG_*_BIT
  unsigned size = 0;           ///< bytes from the IP header on; 0: as small as it can be
  std::uint8_t ttl = 64;
  bool may_fragment = false;  ///< IPv4: without "don't fragment"
};

/// The packet as it was built.
struct TracePacket {
  FlowEnd source, destination;
  std::uint8_t proto = 0;
  unsigned size = 0;  ///< bytes from the IP header on
  maps::hook hook = maps::HOOK_FROM_POD;
  int ifindex = 0;  ///< where it is seen, or was last, where programs had nothing to do with it
};

/// A connection with the packet's addresses and ports that the datapath knows.
struct KnownFlow {
  Flow flow;
  std::uint32_t epoch = 0;  ///< that the packet's direction was decided in
  bool answers = false;     ///< the packet is one of its destination
};

struct Trace {
  /// What the hooks of sockets give a call of the node's own that names a Service's address. The packet is the one that
  /// leaves then, and where no program of this node sees that one, its hook is HOOK_SOCKET.
  std::optional<program::SocketAnswer> socket;
  FlowEnd called;  ///< the address that the call names
  TracePacket packet;
  std::optional<KnownFlow> known;
  std::uint32_t epoch = 0;  ///< the one in force
  program::Traced traced;
};

/// `names` are those of `root`. Interfaces are looked for in the calling thread's network namespace. ENOENT: an end is
/// not known, or nothing is loaded. EINVAL: no program of this node sees such a packet; the message says why.
Result<Trace> trace(const Root& root, const ClusterNames& names, TraceRequest request);

}  // namespace sluice::loader::observe
