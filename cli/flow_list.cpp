/// bpfctl flow list: the connections that the datapath knows.
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>

#include "cli/flow.hpp"
#include "cli/service.hpp"
#include "cli/text.hpp"
#include "maps/names.hpp"

namespace sluice::cli {

namespace {

using loader::Root;
namespace observe = loader::observe;

constexpr const char* kExamples =
    R"(  bpfctl flow list                                     all connections, the busiest first
  bpfctl flow list --pod default/web -o wide           a pod's, with packets, age and the way that they take
  bpfctl flow list --address 10.244.0.0/16 --port 443  of a block of addresses and a port
  bpfctl flow list --protocol udp --address fd00::/8
  bpfctl flow list --state opening                     questions without an answer
  bpfctl flow list -o json | jq 'map(.sentBytes) | add')";

struct Options {
  FlowOptions flow;
  std::string state;
  bool all = false;
  Format format = Format::kTable;
};

const std::vector<std::string>& states() {
  static const std::vector<std::string> all = {
      maps::flow_state_name(maps::FLOW_OPENING), maps::flow_state_name(maps::FLOW_ESTABLISHED),
      maps::flow_state_name(maps::FLOW_CLOSING), maps::flow_state_name(maps::FLOW_CLOSED), "expired"};
  return all;
}

Result<observe::FlowFilter> filter_of(const Options& options, const observe::PodNames& names) {
  observe::FlowFilter filter = TRY(options.flow.filter(names));
  filter.expired = options.all || options.state == "expired";
  filter.live = options.state != "expired";
  for (const auto state : {maps::FLOW_OPENING, maps::FLOW_ESTABLISHED, maps::FLOW_CLOSING, maps::FLOW_CLOSED})
    if (maps::flow_state_name(state) == options.state) filter.state = state;
  return filter;
}

/// "peer slu0123456789a"; what is stale will be decided anew.
std::string way_text(const observe::FlowDirection& direction) {
  if (direction.delivery == maps::FLOW_UNDECIDED) return "";
  std::array<char, IF_NAMESIZE> device{};
  std::string text = maps::flow_delivery_name(direction.delivery);
  if (direction.delivery != maps::FLOW_TO_STACK && direction.egress_ifindex != 0) {
    const bool known = if_indextoname(static_cast<unsigned>(direction.egress_ifindex), device.data()) != nullptr;
    text += known ? std::string(" ") + device.data() : " #" + std::to_string(direction.egress_ifindex);
  }
  return direction.current ? text : text + " (stale)";
}

Listing table() {
  return Listing({{"protocol", "PROTO"},
                  {"state", "STATE"},
                  {"source", "SOURCE"},
                  {"sourcePort", "", Show::kJson},
                  {"sourcePod", "POD"},
                  {"destination", "DESTINATION"},
                  {"destinationPort", "", Show::kJson},
                  {"destinationPod", "POD"},
                  {"service", "SERVICE", Show::kWide},
                  {"backend", "BACKEND", Show::kWide},
                  {"sentPackets", "SENT PACKETS", Show::kWide},
                  {"sentBytes", "SENT"},
                  {"receivedPackets", "RECEIVED PACKETS", Show::kWide},
                  {"receivedBytes", "RECEIVED"},
                  {"idleSeconds", "IDLE"},
                  {"ageSeconds", "AGE", Show::kWide},
                  {"sentFlags", "FLAGS", Show::kWide},
                  {"receivedFlags", "BACK", Show::kWide},
                  {"sentWay", "WAY", Show::kWide},
                  {"receivedWay", "WAY BACK", Show::kWide}});
}

std::vector<Cell> cells(const observe::Flow& flow, const observe::PodNames& names, const ServiceWords& services) {
  const bool tcp = flow.proto == IPPROTO_TCP;
  return {maps::protocol_name(flow.proto),
          flow.expired ? "expired" : maps::flow_state_name(flow.state),
          Cell(end_text(flow.source), flow.source.address.text()),
          flow.source.port,
          name(names.of(flow.source.address)),
          Cell(end_text(flow.destination), flow.destination.address.text()),
          flow.destination.port,
          name(names.of(flow.destination.address)),
          name(services.of(flow.service)),
          flow.backend ? Cell(end_text(*flow.backend)) : nothing(),
          flow.sent.packets,
          bytes(flow.sent.bytes),
          flow.received.packets,
          bytes(flow.received.bytes),
          duration(flow.idle),
          duration(flow.age),
          tcp ? Cell(maps::tcp_flags_text(flow.sent.tcp_flags)) : nothing(),
          tcp ? Cell(maps::tcp_flags_text(flow.received.tcp_flags)) : nothing(),
          name(way_text(flow.sent)),
          name(way_text(flow.received))};
}

Result<void> list(const Root& root, const Options& options) {
  const auto names = TRY(observe::PodNames::read(root));
  auto found = TRY(observe::flows(root, TRY(filter_of(options, names)), flow_timeouts(root)));
  std::ranges::sort(found, std::ranges::greater(),
                    [](const observe::Flow& flow) { return flow.sent.bytes + flow.received.bytes; });
  const ServiceWords services(root);
  Listing listing = table();
  for (const auto& flow : found) listing.add(cells(flow, names, services));
  listing.print(options.format);
  return {};
}

}  // namespace

void add_flow_list(Commands& commands, CLI::App& noun) {
  auto options = std::make_shared<Options>();
  CLI::App& verb = commands.verb(noun, "list", "List connections, the busiest first", kExamples,
                                 [options](const Root& root) { return list(root, *options); });
  options->flow.declare(commands, verb);
  CLI::Option* state = verb.add_option("--state", options->state, "opening, established, closing, closed, or expired");
  state->check(CLI::IsMember(states()))->type_name("STATE");
  commands.complete(state, [](const Root&) { return states(); });
  verb.add_flag("-a,--all", options->all, "Show those past their time-out, too: their next packet opens a new one");
  commands.output(verb, options->format, {"table", "wide", "json"});
}

}  // namespace sluice::cli
