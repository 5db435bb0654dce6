#include "cni/settings.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "cni/error.hpp"
#include "cni/json.hpp"
#include "maps/names.hpp"

namespace sluice::cni {

namespace {

using nlohmann::json;

constexpr std::int64_t kSmallestMtu = 68;    // RFC 791, 3.2
constexpr std::int64_t kLargestMtu = 65535;  // veth's

Result<loader::AttachMode> parse_attach(const std::string& word) {
  if (word == "auto") return loader::AttachMode::kAuto;
  if (word == "tcx") return loader::AttachMode::kTcx;
  if (word == "clsact") return loader::AttachMode::kClsact;
  return bad_config("attach", "is '" + word + "', not auto, tcx or clsact");
}

Result<int> parse_mtu(const json& config) {
  const auto mtu = TRY(get_integer(config, "mtu")).value_or(0);
  if (mtu != 0 && (mtu < kSmallestMtu || mtu > kLargestMtu)) {
    return bad_config("mtu", "is " + std::to_string(mtu) + ", not 0 or 68 to 65535");
  }
  return static_cast<int>(mtu);
}

Result<bool> parse_delivery(const json& config) {
  const auto word = TRY(get_string(config, "delivery")).value_or("direct");
  if (word != "direct" && word != "stack") return bad_config("delivery", "is '" + word + "', not direct or stack");
  return word == "stack";
}

Result<std::vector<Prefix>> parse_pod_cidrs(const json& config) {
  std::vector<Prefix> blocks;
  for (const auto& text : TRY(get_strings(config, "podCIDRs"))) {
    const auto block = Prefix::parse(text);
    if (!block) return bad_config("podCIDRs", block.error().message);
    blocks.push_back(*block);
  }
  return blocks;
}

Result<json> parse_dns(const json& config) {
  auto dns = TRY(get_object(config, "dns"));
  if (!dns) return json(nullptr);
  (void)TRY(get_string(*dns, "domain").context("dns"));
  for (const char* key : {"nameservers", "search", "options"}) (void)TRY(get_strings(*dns, key).context("dns"));
  return json(std::move(*dns));
}

/// What a pod's interface may be given: no group address (IEEE 802, 8.2), not all zeros.
Result<std::optional<Mac>> parse_mac(const json& runtime) {
  const auto text = TRY(get_string(runtime, "mac").context("runtimeConfig"));
  if (!text || text->empty()) return std::optional<Mac>();
  const auto mac = Mac::parse(*text);
  if (!mac) return bad_config("runtimeConfig: mac", mac.error().message);
  if ((mac->bytes[0] & 1) != 0 || *mac == Mac{}) {
    return bad_config("runtimeConfig: mac", "'" + *text + "' cannot be an interface's address");
  }
  return std::optional<Mac>(*mac);
}

/// At most one address of a family, each with a prefix length or without.
Result<std::vector<Address>> parse_ips(const std::vector<std::string>& texts) {
  std::vector<Address> ips;
  for (const auto& text : texts) {
    const auto wanted = TRY(Prefix::parse(text));
    const bool v4 = wanted.address.is_v4();
    if (std::any_of(ips.begin(), ips.end(), [=](const Address& other) { return other.is_v4() == v4; })) {
      return refuse(EINVAL, "has more than one address of a family");
    }
    ips.push_back(wanted.address);
  }
  return ips;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto part = text.substr(0, text.find(separator));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    parts.emplace_back(part);
  }
  return parts;
}

/// What the runtime asks for, in the order of the CNI conventions (CONVENTIONS.md, "ips"): the capability, then the
/// configuration's args, then CNI_ARGS. The first that is there counts.
Result<std::vector<Address>> wanted_ips(const Request& request) {
  const json nothing = json::object();
  const auto runtime = TRY(get_object(request.config, "runtimeConfig")).value_or(nothing);
  const auto args = TRY(get_object(request.config, "args")).value_or(nothing);
  const auto of_args = TRY(get_object(args, "cni").context("args")).value_or(nothing);
  const auto by_capability = TRY(get_strings(runtime, "ips").context("runtimeConfig"));
  const auto by_args = TRY(get_strings(of_args, "ips").context("args: cni"));
  if (!by_capability.empty()) return as(Code::kBadConfig, parse_ips(by_capability).context("runtimeConfig: ips"));
  if (!by_args.empty()) return as(Code::kBadConfig, parse_ips(by_args).context("args: cni: ips"));
  return as(Code::kBadEnvironment, parse_ips(split(request.wanted_ips(), ',')).context("CNI_ARGS: IP"));
}

/// The bandwidth plugin's rules: a rate needs a burst, and neither is negative.
Result<Rate> parse_rate(const json& bandwidth, const char* rate_key, const char* burst_key) {
  const auto rate = TRY(get_integer(bandwidth, rate_key)).value_or(0);
  const auto burst = TRY(get_integer(bandwidth, burst_key)).value_or(0);
  if (rate < 0 || (rate > 0 && rate < 8)) return bad_config(rate_key, "is not 0 or at least 8 bits a second");
  if (burst < 0 || (rate > 0 && burst < 8)) return bad_config(burst_key, "is not at least 8 bits");
  return Rate{static_cast<std::uint64_t>(rate), static_cast<std::uint64_t>(burst)};
}

Result<std::uint16_t> parse_port(const json& mapping, const char* key, std::int64_t least) {
  const auto port = TRY(get_integer(mapping, key));
  if (!port || *port < least || *port > UINT16_MAX) {
    return bad_config(key, "is not a port from " + std::to_string(least) + " to 65535");
  }
  return static_cast<std::uint16_t>(*port);
}

Result<std::uint8_t> parse_protocol(const json& mapping) {
  const auto word = TRY(get_string(mapping, "protocol")).value_or("tcp");
  const auto proto = maps::protocol_of(word);
  if (!proto || (*proto != IPPROTO_TCP && *proto != IPPROTO_UDP && *proto != IPPROTO_SCTP)) {
    return bad_config("protocol", "is '" + word + "', not tcp, udp or sctp");
  }
  return *proto;
}

Result<loader::HostPort> parse_host_port(const json& mapping) {
  if (!mapping.is_object()) return bad_config("each of them", "must be an object");
  loader::HostPort port;
  port.host_port = TRY(parse_port(mapping, "hostPort", 0));
  port.container_port = TRY(parse_port(mapping, "containerPort", 1));
  port.proto = TRY(parse_protocol(mapping));
  const auto text = TRY(get_string(mapping, "hostIP")).value_or("");
  if (text.empty()) return port;
  const auto address = Address::parse(text);
  if (!address) return bad_config("hostIP", address.error().message);
  if (*address != Address() && address->text() != "0.0.0.0") port.host_ip = *address;
  return port;
}

/// As the portmap plugin has them; those with hostPort 0 ask for nothing.
Result<std::vector<loader::HostPort>> parse_host_ports(const json& runtime) {
  std::vector<loader::HostPort> ports;
  for (const auto& mapping : TRY(get_array(runtime, "portMappings")).value_or(json::array())) {
    const auto port = TRY(parse_host_port(mapping).context("portMappings"));
    if (port.host_port != 0) ports.push_back(port);
  }
  return ports;
}

Result<void> parse_runtime_config(const json& config, Settings& settings) {
  const auto runtime = TRY(get_object(config, "runtimeConfig"));
  if (!runtime) return {};
  settings.mac = TRY(parse_mac(*runtime));
  settings.host_ports = TRY(parse_host_ports(*runtime).context("runtimeConfig"));
  if (const auto bandwidth = TRY(get_object(*runtime, "bandwidth").context("runtimeConfig"))) {
    settings.ingress = TRY(parse_rate(*bandwidth, "ingressRate", "ingressBurst").context("runtimeConfig: bandwidth"));
    settings.egress = TRY(parse_rate(*bandwidth, "egressRate", "egressBurst").context("runtimeConfig: bandwidth"));
  }
  return {};
}

}  // namespace

Result<Scope> Scope::parse(const json& config) {
  Scope scope{loader::Root::from_environment(), ""};
  if (const auto root = TRY(get_string(config, "root")); root && !root->empty()) {
    if (root->front() != '/') return bad_config("root", "'" + *root + "' is not an absolute path");
    scope.root = loader::Root(*root == "/" ? "" : *root);
  }
  if (const auto ipam = TRY(get_object(config, "ipam"))) {
    scope.ipam_type = TRY(get_string(*ipam, "type").context("ipam")).value_or("");
    // It becomes part of a path.
    if (!scope.ipam_type.empty() && !is_identifier(scope.ipam_type)) {
      return bad_config("ipam: type", "'" + scope.ipam_type + "' is not the name of a plugin");
    }
  }
  return scope;
}

Result<Settings> Settings::parse(const Request& request) {
  const json& config = request.config;
  Settings settings;
  settings.mtu = TRY(parse_mtu(config));
  if (const auto word = TRY(get_string(config, "attach"))) settings.attach = TRY(parse_attach(*word));
  settings.through_stack = TRY(parse_delivery(config));
  settings.pod_cidrs = TRY(parse_pod_cidrs(config));
  settings.dns = TRY(parse_dns(config));
  settings.previous = TRY(get_object(config, "prevResult")).value_or(nullptr);
  settings.ips = TRY(wanted_ips(request));
  TRY(parse_runtime_config(config, settings));
  // A well-known key (CNI spec 1.1.0, section 1): not doing it silently would leave pods without the world.
  if (TRY(get_bool(config, "ipMasq")).value_or(false)) {
    return failure(Code::kUnsupportedField,
                   "ipMasq: true is not supported: Sluice does not masquerade for the plugin chain");
  }
  return settings;
}

}  // namespace sluice::cni
