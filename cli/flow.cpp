/// bpfctl flow: connections.
#include "cli/flow.hpp"

#include "maps/names.hpp"

namespace sluice::cli {

void FlowOptions::declare(Commands& commands, CLI::App& verb) {
  verb.add_option("--address", address, "Of either end: an address or a block of them")->check(address_block());
  verb.add_option("--port", port, "Of either end")->check(CLI::Range(1, 65535))->type_name("PORT");
  CLI::Option* with_protocol =
      verb.add_option("--protocol", protocol, "tcp, udp, icmp, icmpv6, sctp, or a number")->check(cli::protocol());
  commands.complete(with_protocol, [](const loader::Root&) {
    return std::vector<std::string>{"tcp", "udp", "icmp", "icmpv6", "sctp"};
  });
  CLI::Option* with_pod = verb.add_option("--pod", pod, "Of this pod; NAME alone is in the namespace default");
  with_pod->check(pod_name());
  commands.complete(with_pod, pod_names);
}

Result<loader::observe::FlowFilter> FlowOptions::filter(const loader::observe::PodNames& names) const {
  loader::observe::FlowFilter filter{
      .address = block(), .pod = {}, .port = wanted_port(), .proto = wanted_protocol(), .state = {}};
  if (!pod.empty())
    for (const auto& attachment : TRY(names.attachments_of(TRY(loader::observe::PodName::parse(pod)))))
      for (const Address& one : attachment.addresses) filter.pod.push_back(one);
  return filter;
}

std::optional<Prefix> FlowOptions::block() const {
  const auto parsed = Prefix::parse(address);  // the command line's check has let it pass, or it was not given
  return parsed ? std::optional(*parsed) : std::nullopt;
}

std::optional<std::uint16_t> FlowOptions::wanted_port() const { return port != 0 ? std::optional(port) : std::nullopt; }

std::optional<std::uint8_t> FlowOptions::wanted_protocol() const { return maps::protocol_of(protocol); }

loader::Timeouts flow_timeouts(const loader::Root& root) {
  const auto config = loader::NodeConfig::read(root);
  if (config) return config->timeouts;
  fmt::print(stderr, "bpfctl: flows are judged by the default time-outs: {}\n", config.error().message);
  return {};
}

void add_flow(Commands& commands) {
  CLI::App& noun = commands.noun("flow", "Connections that the datapath knows, and what happens to them");
  add_flow_list(commands, noun);
  add_flow_watch(commands, noun);
}

}  // namespace sluice::cli
