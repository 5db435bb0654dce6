#include "loader/config.hpp"

#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

namespace sluice::loader {
namespace {

/// Reads one key's value into the configuration. The error says what is wrong with the value, without its place.
using Reader = std::function<Result<void>(const YAML::Node&)>;
using Readers = std::map<std::string, Reader>;

Error bad(const std::string& what) { return refuse(EINVAL, what); }

Result<std::string> read_text(const YAML::Node& node) {
  if (!node.IsScalar()) return bad("must be a single value");
  return node.Scalar();
}

Result<long> read_number(const YAML::Node& node, long least, long most) {
  const std::string text = TRY(read_text(node));
  long number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < least || number > most)
    return bad("must be a number from " + std::to_string(least) + " to " + std::to_string(most) + ", not \"" + text +
               "\"");
  return number;
}

Result<bool> read_switch(const YAML::Node& node) {
  const std::string text = TRY(read_text(node));
  if (text == "true") return true;
  if (text == "false") return false;
  return bad("must be true or false, not \"" + text + "\"");
}

/// A duration as Kubernetes and Go write it, in whole seconds: "90s", "5m", "24h", "1h30m".
Result<std::chrono::seconds> read_duration(const YAML::Node& node) {
  const std::string text = TRY(read_text(node));
  std::chrono::seconds total{0};
  const char *at = text.data(), *end = at + text.size();
  while (at != end) {
    long number = 0;
    const auto [unit, error] = std::from_chars(at, end, number);
    const long factor = unit == end ? 0 : *unit == 's' ? 1 : *unit == 'm' ? 60 : *unit == 'h' ? 3600 : 0;
    if (error != std::errc() || factor == 0 || number < 0 || number > 1000000) {
      total = {};
      break;
    }
    total += std::chrono::seconds(number * factor);
    at = unit + 1;
  }
  if (total.count() < 1)
    return bad("must be a duration of at least one second such as 90s, 5m or 24h, not \"" + text + "\"");
  return total;
}

template <typename T>
Result<std::vector<T>> read_list(const YAML::Node& node) {
  if (!node.IsSequence()) return bad("must be a list");
  std::vector<T> items;
  for (const YAML::Node& item : node) items.push_back(TRY(T::parse(TRY(read_text(item)))));
  return items;
}

Result<std::optional<bool>> read_masquerade(const YAML::Node& node) {
  if (node.IsScalar() && node.Scalar() == "auto") return std::optional<bool>();
  const auto on = read_switch(node);
  if (!on) return bad("must be auto, true or false");
  return std::optional(*on);
}

Result<std::optional<std::vector<std::string>>> read_uplinks(const YAML::Node& node) {
  if (node.IsScalar() && node.Scalar() == "auto") return std::optional<std::vector<std::string>>();
  if (!node.IsSequence()) return bad("must be auto, or a list of interfaces");
  std::vector<std::string> names;
  for (const YAML::Node& item : node) names.push_back(TRY(read_text(item)));
  return std::optional(std::move(names));
}

Result<AttachMode> read_attach_mode(const YAML::Node& node) {
  const std::string text = TRY(read_text(node));
  if (text == "auto") return AttachMode::kAuto;
  if (text == "tcx") return AttachMode::kTcx;
  if (text == "clsact") return AttachMode::kClsact;
  return bad("must be auto, tcx or clsact, not \"" + text + "\"");
}

Result<std::string> read_path(const YAML::Node& node) {
  const std::string text = TRY(read_text(node));
  if (!text.empty() && text.front() != '/') return bad("must be a path from / on, not \"" + text + "\"");
  return text;
}

Result<Xdp> read_xdp(const YAML::Node& node) {
  const std::string text = TRY(read_text(node));
  if (text == "off") return Xdp::kOff;
  if (text == "auto") return Xdp::kAuto;
  if (text == "native") return Xdp::kNative;
  if (text == "generic") return Xdp::kGeneric;
  return bad("must be off, auto, native or generic, not \"" + text + "\"");
}

Result<LoadBalancerMode> read_load_balancer_mode(const YAML::Node& node) {
  const std::string text = TRY(read_text(node));
  if (text == "snat") return LoadBalancerMode::kSnat;
  if (text == "dsr") return LoadBalancerMode::kDsr;
  return bad("must be snat or dsr, not \"" + text + "\"");
}

Result<Mode> read_mode(const YAML::Node& node) {
  const std::string text = TRY(read_text(node));
  if (text == "none") return Mode::kNone;
  if (text == "overlay") return Mode::kOverlay;
  if (text == "native") return Mode::kNative;
  if (text == "mixed") return Mode::kMixed;
  return bad("must be none, overlay, native or mixed, not \"" + text + "\"");
}

Result<Algorithm> read_algorithm(const YAML::Node& node) {
  const std::string text = TRY(read_text(node));
  if (text == "random") return Algorithm::kRandom;
  if (text == "maglev") return Algorithm::kMaglev;
  return bad("must be random or maglev, not \"" + text + "\"");
}

/// nullopt: "", nobody is answered.
Result<std::optional<SocketAddress>> read_listener(const YAML::Node& node) {
  const std::string text = TRY(read_text(node));
  if (text.empty()) return std::optional<SocketAddress>();
  return std::optional(TRY(SocketAddress::parse(text)));
}

/// Reads a mapping of which all keys are known. Names the place of what is wrong.
Result<void> read_mapping(const YAML::Node& node, const Readers& readers) {
  if (!node.IsMap()) return bad("must be a mapping");
  for (const auto& entry : node) {
    const std::string key = entry.first.as<std::string>("?");
    const std::string place = "line " + std::to_string(entry.first.Mark().line + 1) + ": " + key;
    const auto reader = readers.find(key);
    if (reader == readers.end()) return bad(place + " is not known here");
    if (auto done = reader->second(entry.second); !done) {
      const std::string& why = done.error().message;
      return bad(why.starts_with("line ") ? why : place + " " + why);
    }
  }
  return {};
}

/// A reader that keeps what `read` makes of the value.
template <typename T, typename Read>
Reader into(T& target, Read read) {
  return [&target, read](const YAML::Node& node) -> Result<void> {
    target = TRY(read(node));
    return {};
  };
}

template <typename T>
auto number_reader(long least, long most) {
  return [=](const YAML::Node& node) -> Result<T> { return static_cast<T>(TRY(read_number(node, least, most))); };
}

Reader into_count(std::uint32_t& target) { return into(target, number_reader<std::uint32_t>(16, 1L << 26)); }

Reader timeouts_reader(Timeouts& timeouts) {
  return [&timeouts](const YAML::Node& node) {
    return read_mapping(node, {{"tcpOpening", into(timeouts.tcp_opening, read_duration)},
                               {"tcpEstablished", into(timeouts.tcp_established, read_duration)},
                               {"tcpClosing", into(timeouts.tcp_closing, read_duration)},
                               {"tcpClosed", into(timeouts.tcp_closed, read_duration)},
                               {"udpOpening", into(timeouts.udp_opening, read_duration)},
                               {"udpEstablished", into(timeouts.udp_established, read_duration)},
                               {"icmp", into(timeouts.icmp, read_duration)},
                               {"other", into(timeouts.other, read_duration)}});
  };
}

Reader policy_reader(PolicyMode& mode) {
  return [&mode](const YAML::Node& node) {
    return read_mapping(node, {{"audit", into(mode.audit, read_switch)}, {"reject", into(mode.reject, read_switch)}});
  };
}

Reader sizes_reader(MapSizes& sizes) {
  return [&sizes](const YAML::Node& node) {
    return read_mapping(node, {{"flows", into_count(sizes.flows)},
                               {"endpoints", into_count(sizes.endpoints)},
                               {"fragments", into_count(sizes.fragments)},
                               {"ipcache", into_count(sizes.ipcache)},
                               {"nodes", into_count(sizes.nodes)},
                               {"policies", into_count(sizes.policies)},
                               {"policyPorts", into_count(sizes.policy_ports)},
                               {"peers", into_count(sizes.peers)},
                               {"services", into_count(sizes.services)},
                               {"backendSlots", into_count(sizes.backend_slots)},
                               {"backends", into_count(sizes.backends)},
                               {"sourceRanges", into_count(sizes.source_ranges)},
                               {"affinity", into_count(sizes.affinity)},
                               {"denied", into_count(sizes.denied)},
                               {"sockets", into_count(sizes.sockets)}});
  };
}

Result<Address> read_address(const YAML::Node& node) { return Address::parse(TRY(read_text(node))); }

Result<std::optional<Address>> read_router_id(const YAML::Node& node) {
  const Address id = TRY(read_address(node));
  if (!id.is_v4()) return bad("must be written as an IPv4 address");
  return std::optional(id);
}

/// It stands in quotes in BIRD's configuration.
Result<std::string> read_password(const YAML::Node& node) {
  std::string text = TRY(read_text(node));
  for (const unsigned char one : text)
    if (one < ' ' || one == '"' || one == 127) return bad("must have no quotes and no control characters");
  return text;
}

constexpr long kLastAsn = 0xffffffff;  // RFC 6793

Result<std::vector<BgpPeer>> read_peers(const YAML::Node& node) {
  if (!node.IsSequence() || node.size() == 0) return bad("must be a list of peers");
  std::vector<BgpPeer> peers;
  for (const YAML::Node& item : node) {
    BgpPeer peer;
    TRY(read_mapping(item, {{"address", into(peer.address, read_address)},
                            {"asn", into(peer.asn, number_reader<std::uint32_t>(1, kLastAsn))},
                            {"port", into(peer.port, number_reader<std::uint16_t>(1, 65535))},
                            {"password", into(peer.password, read_password)},
                            {"bfd", into(peer.bfd, read_switch)}}));
    if (peer.address == Address() || peer.asn == 0) return bad("must each have an address and an asn");
    peers.push_back(std::move(peer));
  }
  return peers;
}

Reader bgp_reader(std::optional<Bgp>& target) {
  return [&target](const YAML::Node& node) -> Result<void> {
    target.reset();
    if (node.IsScalar() && node.Scalar() == "none") return {};
    Bgp bgp;
    TRY(read_mapping(node, {{"asn", into(bgp.asn, number_reader<std::uint32_t>(1, kLastAsn))},
                            {"routerID", into(bgp.router_id, read_router_id)},
                            {"peers", into(bgp.peers, read_peers)}}));
    if (bgp.asn == 0 || bgp.peers.empty()) return bad("must have an asn and peers");
    target = std::move(bgp);
    return {};
  };
}

Result<int> read_mtu(const YAML::Node& node) {
  const long mtu = TRY(read_number(node, 0, 65535));
  if (mtu != 0 && mtu < 1280) return bad("must be 0 (found out) or at least 1280, what IPv6 needs");  // RFC 8200, 5
  return static_cast<int>(mtu);
}

}  // namespace

Result<NodeConfig> NodeConfig::parse(const std::string& yaml, const std::string& file_name) {
  NodeConfig config;
  const Readers readers = {{"nodeName", into(config.node_name, read_text)},
                           {"nodeAddresses", into(config.node_addresses, read_list<Address>)},
                           {"podCIDRs", into(config.pod_cidrs, read_list<Prefix>)},
                           {"mode", into(config.mode, read_mode)},
                           {"uplinks", into(config.uplinks, read_uplinks)},
                           {"xdp", into(config.xdp, read_xdp)},
                           {"loadBalancerMode", into(config.load_balancer_mode, read_load_balancer_mode)},
                           {"masquerade", into(config.masquerade, read_masquerade)},
                           {"nonMasqueradeCIDRs", into(config.non_masquerade_cidrs, read_list<Prefix>)},
                           {"vni", into(config.vni, number_reader<std::uint32_t>(1, (1L << 24) - 1))},
                           {"tunnelPort", into(config.tunnel_port, number_reader<std::uint16_t>(1, 65535))},
                           {"mtu", into(config.mtu, read_mtu)},
                           {"podAttach", into(config.pod_attach, read_attach_mode)},
                           {"forwarding", into(config.forwarding, read_switch)},
                           {"metricsAddress", into(config.metrics_address, read_listener)},
                           {"healthAddress", into(config.health_address, read_listener)},
                           {"policy", policy_reader(config.policy)},
                           {"algorithm", into(config.algorithm, read_algorithm)},
                           {"socketBalancing", into(config.socket_balancing, read_switch)},
                           {"cgroup", into(config.cgroup, read_path)},
                           {"bgp", bgp_reader(config.bgp)},
                           {"timeouts", timeouts_reader(config.timeouts)},
                           {"maps", sizes_reader(config.maps)}};
  try {
    const YAML::Node document = YAML::Load(yaml);
    if (document.IsNull()) return config;
    if (auto read = read_mapping(document, readers); !read) return bad(file_name + ": " + read.error().message);
  } catch (const YAML::Exception& error) {
    return bad(file_name + ": " + error.what());
  }
  if (config.load_balancer_mode == LoadBalancerMode::kDsr && !config.tunnels())
    return bad(file_name + ": loadBalancerMode: dsr needs tunnels: mode: overlay or mixed");
  if (config.pod_cidrs.size() + config.non_masquerade_cidrs.size() > kMostUnmasqueraded)
    return bad(file_name + ": nonMasqueradeCIDRs and podCIDRs have more than " + std::to_string(kMostUnmasqueraded) +
               " blocks together");
  return config;
}

std::string NodeConfig::name() const {
  if (!node_name.empty()) return node_name;
  std::array<char, 256> host{};
  return gethostname(host.data(), host.size() - 1) == 0 ? host.data() : "";
}

Result<NodeConfig> NodeConfig::read(const Root& root) {
  std::ifstream file(root.config_file());
  if (!file) {
    if (errno == ENOENT) return NodeConfig{};
    return fail(errno, "open " + root.config_file().string());
  }
  file.peek();
  if (file.bad()) return fail(EIO, "read " + root.config_file().string());
  std::stringstream text;
  text << file.rdbuf();
  return parse(text.str(), root.config_file());
}

}  // namespace sluice::loader
