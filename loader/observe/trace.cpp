#include "loader/observe/trace.hpp"

#include <linux/pkt_cls.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "loader/config.hpp"
#include "loader/net/netlink.hpp"
#include "loader/observe/frame.hpp"
#include "loader/program/datapath.hpp"
#include "loader/program/pin.hpp"
#include "loader/program/socket_hooks.hpp"
#include "maps/names.hpp"
#include "maps/views.hpp"

namespace sluice::loader::observe {

namespace {

constexpr std::uint16_t kFirstPort = 40000;  // where a port is looked for that no known connection has
constexpr std::uint16_t kPortsToTry = 1000;
constexpr std::size_t kEthernet = 14;

Error not_an_end(const std::string& text) {
  return refuse(EINVAL, "'" + text +
                            "' is no end of a packet: a pod or Service NAMESPACE/NAME, an address, or node; with "
                            ":PORT and /tcp, /udp, /sctp or /icmp where it has them; [ADDRESS]:PORT for IPv6");
}

/// Takes "/udp" off the end of `text`.
std::optional<std::uint8_t> take_protocol(std::string& text) {
  const auto slash = text.rfind('/');
  if (slash == std::string::npos) return std::nullopt;
  const std::string word = text.substr(slash + 1);
  const auto proto = maps::protocol_of(word);
  if (!proto || std::ranges::all_of(word, [](unsigned char c) { return std::isdigit(c) != 0; })) return std::nullopt;
  text.resize(slash);
  return proto;
}

std::optional<std::uint16_t> port_of(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

bool is_icmp(std::uint8_t proto) { return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6; }

/// The key of a packet's connection, and the half of its entry that the packet has: see struct flow_key.
std::pair<maps::flow_key, unsigned> flow_key_of(const TracePacket& packet) {
  struct Side {
    std::array<std::uint64_t, 2> words;
    std::uint16_t port;
    auto operator<=>(const Side&) const = default;
  };
  const auto side = [](const FlowEnd& end) {
    Side made{{}, maps::be16::from_host(end.port).wire};
    std::memcpy(made.words.data(), &end.address.wire(), sizeof(made.words));
    return made;
  };
  const unsigned dir = side(packet.source) > side(packet.destination) ? 1 : 0;
  maps::flow_key key{};
  key.addr[dir] = packet.source.address.wire();
  key.addr[1 - dir] = packet.destination.address.wire();
  key.port[dir] = maps::be16::from_host(packet.source.port);
  key.port[1 - dir] = maps::be16::from_host(packet.destination.port);
  key.proto = packet.proto;
  return {key, dir};
}

/// The addresses that words may mean, at most one of each family is used.
Result<std::vector<Address>> addresses_of(const ClusterNames& names, const NodeConfig& config,
                                          const std::string& host) {
  if (const auto address = Address::parse(host)) return std::vector{*address};
  if (host != kThisNode) return names.addresses(TRY(PodName::parse(host)));
  std::vector<Address> own = config.node_addresses;
  for (const char* gateway : {kGatewayV4, kGatewayV6}) own.push_back(TRY(Address::parse(gateway)));
  return own;
}

std::optional<Address> of_family(const std::vector<Address>& addresses, bool v4) {
  const auto found = std::ranges::find(addresses, v4, &Address::is_v4);
  return found != addresses.end() ? std::optional(*found) : std::nullopt;
}

/// The two addresses of the packet, of one family.
Result<std::pair<Address, Address>> choose(const TraceRequest& request, const std::vector<Address>& from,
                                           const std::vector<Address>& to) {
  for (const bool v4 : {true, false}) {
    if (request.v4.value_or(v4) != v4) continue;
    const auto source = of_family(from, v4), destination = of_family(to, v4);
    if (source && destination) return std::pair(*source, *destination);
  }
  return refuse(EINVAL, request.from.host + " and " + request.to.host + " have no address of the same family" +
                            (request.v4 ? std::string(", IPv") + (*request.v4 ? "4" : "6") : ""));
}

/// A place where the packet is seen on this node, and the MAC addresses that it has there.
struct Entrance {
  maps::hook hook;
  int ifindex;
  Mac from, to;
};

/// Behind which other node's tunnel the address is, and that is not the node itself.
Result<bool> is_behind_tunnel(const Root& root, const Address& address, std::uint32_t epoch) {
  maps::ipcache_key key{128, {}};
  std::memcpy(key.word, &address.wire(), sizeof(key.word));
  const auto who = TRY(TRY(maps::open<maps::Ipcache>(root.maps())).lookup(key));
  return who && who->node != NODE_HERE && who->classes[GENERATION(epoch)].identity != maps::IDENTITY_REMOTE_NODE;
}

/// The uplink that the world comes in by: the one with the address that is asked for, else any, as to flows they are
/// all one. nullopt: there is none.
Result<std::optional<Entrance>> uplink_to(const Root& root, const Address& destination) {
  const auto uplinks = TRY(TRY(maps::open<maps::Uplinks>(root.maps())).dump());
  if (uplinks.empty()) return std::optional<Entrance>();
  const auto has_it = std::ranges::find_if(uplinks, [&](const auto& uplink) {
    return Address(uplink.second.v4) == destination || Address(uplink.second.v6) == destination;
  });
  const int ifindex = static_cast<int>((has_it != uplinks.end() ? *has_it : uplinks.front()).first);
  const net::Link link = TRY(TRY(net::Netlink::open()).link(ifindex));
  return std::optional(Entrance{maps::HOOK_FROM_UPLINK, ifindex, {}, link.mac});
}

/// Where the packet is seen, one after the other as long as programs pass it on.
Result<std::vector<Entrance>> entrances(const Root& root, const Address& source, const Address& destination,
                                        bool from_stack, std::uint32_t epoch) {
  auto datapath = TRY(program::Datapath::open(root));
  const auto sender = TRY(datapath.endpoint(source)), receiver = TRY(datapath.endpoint(destination));
  if (sender && !from_stack)
    return std::vector{Entrance{maps::HOOK_FROM_POD, sender->ifindex, sender->pod_mac, kHostMac}};
  std::vector<Entrance> all;
  if (receiver && TRY(is_behind_tunnel(root, source, epoch))) {
    const auto here = TRY(TRY(maps::open<maps::Nodes>(root.maps())).lookup(NODE_HERE));
    if (here && here->ifindex != 0)
      return std::vector{
          Entrance{maps::HOOK_FROM_OVERLAY, static_cast<int>(here->ifindex), kTunnelSourceMac, kHostMac}};
  }
  if (!from_stack)
    if (const auto uplink = TRY(uplink_to(root, destination))) all.push_back(*uplink);
  if (receiver) all.push_back({maps::HOOK_TO_POD, receiver->ifindex, kHostMac, receiver->pod_mac});
  if (all.empty())
    return refuse(EINVAL,
                  "neither " + source.text() + " nor " + destination.text() +
                      " is a pod of this node, and the programs see no other packets: trace it on the node of a pod");
  return all;
}

/// The program had nothing to do with the packet.
bool passed_on(const program::Traced& traced) {
  return traced.action == TC_ACT_UNSPEC && traced.reason == maps::DROP_NONE && traced.decision.entry.half[0].epoch == 0;
}

/// A port that makes a new connection of the packet, unless one was asked for. ICMP has one identifier for both ends.
Result<void> choose_ports(const maps::Flows& flows, const TraceRequest& request, TracePacket& packet) {
  const bool icmp = is_icmp(packet.proto);
  packet.destination.port = request.to.port.value_or(0);
  for (std::uint16_t port = kFirstPort; port < kFirstPort + kPortsToTry; port++) {
    packet.source.port = request.from.port.value_or(port);
    if (icmp) packet.destination.port = packet.source.port;
    if (request.from.port || !TRY(flows.lookup(flow_key_of(packet).first))) return {};
  }
  return refuse(EADDRINUSE, "no port is left that is of no known connection: name one, --from ...:PORT");
}

Result<std::uint8_t> protocol_of(const TraceRequest& request, bool v4) {
  const std::uint8_t proto = request.to.proto.value_or(IPPROTO_TCP);
  if (is_icmp(proto)) {
    if (request.to.port) return refuse(EINVAL, "ICMP has no ports: --to HOST/icmp");
    return v4 ? std::uint8_t{IPPROTO_ICMP} : std::uint8_t{IPPROTO_ICMPV6};
  }
  if (!request.to.port)
    return refuse(EINVAL, maps::protocol_name(proto) + " needs a port to go to: --to " + request.to.host + ":PORT");
  return proto;
}

Result<std::optional<KnownFlow>> known_flow(const maps::Flows& flows, const TracePacket& packet, std::uint32_t epoch,
                                            const Timeouts& timeouts) {
  const auto [key, dir] = flow_key_of(packet);
  const auto entry = TRY(flows.lookup(key));
  if (!entry) return std::optional<KnownFlow>();
  return std::optional(KnownFlow{.flow = to_flow(key, *entry, monotonic_ns(), epoch, timeouts),
                                 .epoch = entry->half[dir].epoch,
                                 .answers = (entry->initiator & 1U) != dir});
}

/// What a call of the node's own is given. nullopt: it goes where it says.
Result<std::optional<program::SocketAnswer>> socket_answer(const Root& root, const TracePacket& packet) {
  if (packet.proto != IPPROTO_TCP && packet.proto != IPPROTO_UDP) return std::optional<program::SocketAnswer>();
  const auto hook = program::open_pin(program::program_pin(root, program::kSocketPrograms.front()));
  if (hook.failed_with(ENOENT)) return std::optional<program::SocketAnswer>();  // without socketBalancing
  if (!hook) return hook.error();
  return program::ask_sockets(*hook, {packet.destination.address, packet.destination.port}, packet.proto);
}

/// Has the node's own call make the packet. True: no program of this node sees it.
Result<bool> call(const Root& root, TraceRequest& request, Trace& trace) {
  trace.packet.destination.port = request.to.port.value_or(0);
  trace.called = trace.packet.destination;
  trace.packet.hook = maps::HOOK_SOCKET;
  trace.socket = TRY(socket_answer(root, trace.packet));
  if (!trace.socket) return false;
  if (trace.socket->refused != maps::DROP_NONE) {
    trace.traced.reason = trace.socket->refused;
    trace.traced.action = TC_ACT_SHOT;
    return true;
  }
  trace.packet.destination = {trace.socket->backend.address, trace.socket->backend.port};
  request.to.port = trace.socket->backend.port;
  trace.traced.action = TC_ACT_UNSPEC;
  return !TRY(TRY(program::Datapath::open(root)).endpoint(trace.packet.destination.address));
}

}  // namespace

Result<EndWords> EndWords::parse(const std::string& text) {
  EndWords end;
  end.host = text;
  end.proto = take_protocol(end.host);
  std::string port;
  if (end.host.starts_with('[')) {
    const auto close = end.host.find(']');
    if (close == std::string::npos) return not_an_end(text);
    port = end.host.substr(close + 1);
    end.host = end.host.substr(1, close - 1);
    if (!Address::parse(end.host)) return not_an_end(text);
  } else if (const auto colon = end.host.rfind(':'); colon != std::string::npos && !Address::parse(end.host)) {
    port = end.host.substr(colon);
    end.host.resize(colon);
  }
  if (!port.empty()) {
    end.port = port_of(std::string_view(port).substr(1));
    if (port[0] != ':' || !end.port) return not_an_end(text);
  }
  const bool no_name = end.host.empty() || end.host.find(':') != std::string::npos;
  if (no_name && !Address::parse(end.host)) return not_an_end(text);
  return end;
}

Result<Trace> trace(const Root& root, const ClusterNames& names, TraceRequest request) {
  // A configuration that is broken since says nothing of what is loaded.
  const NodeConfig config = NodeConfig::read(root).value_or({});
  const auto [source, destination] = TRY(choose(request, TRY(addresses_of(names, config, request.from.host)),
                                                TRY(addresses_of(names, config, request.to.host))));
  const auto flows = TRY(maps::open<maps::Flows>(root.maps()));
  const auto runtime = TRY(maps::Mapped<maps::runtime>::open(TRY(maps::open<maps::Runtime>(root.maps())).fd()));
  Trace trace;
  trace.packet = {.source = {source, 0},
                  .destination = {destination, 0},
                  .proto = TRY(protocol_of(request, source.is_v4())),
                  .size = 0};
  const bool from_stack = request.from.host == kThisNode;
  trace.epoch = runtime->epoch;
  if (from_stack && TRY(call(root, request, trace))) return trace;
  TRY(choose_ports(flows, request, trace.packet));
  const auto ways_in = TRY(entrances(root, source, trace.packet.destination.address, from_stack, trace.epoch));
  trace.known = TRY(known_flow(flows, trace.packet, trace.epoch, config.timeouts));
  for (const Entrance& in : ways_in) {
    const auto bytes = frame({.from = in.from,
                              .to = in.to,
                              .source = source,
                              .destination = trace.packet.destination.address,
                              .proto = trace.packet.proto,
                              .source_port = trace.packet.source.port,
                              .destination_port = trace.packet.destination.port,
                              .tcp_flags = request.tcp_flags,
                              .ttl = request.ttl,
                              .dont_fragment = !request.may_fragment,
                              .size = request.size});
    trace.packet.size = static_cast<unsigned>(bytes.size() - kEthernet);
    trace.packet.hook = in.hook;
    trace.packet.ifindex = in.ifindex;
    const Fd loaded = TRY(program::open_pin(program::program_pin(root, maps::hook_name(in.hook))));
    auto tracer = TRY(program::Tracer::load(in.hook, loaded));
    trace.traced = TRY(tracer.run(bytes, in.ifindex));
    if (!passed_on(trace.traced)) break;
  }
  return trace;
}

}  // namespace sluice::loader::observe
