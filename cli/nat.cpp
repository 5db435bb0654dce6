/// bpfctl nat: connections whose packets are translated.
#include <algorithm>
#include <memory>

#include "cli/flow.hpp"
#include "cli/service.hpp"
#include "cli/text.hpp"
#include "maps/names.hpp"

namespace sluice::cli {

namespace {

using loader::Root;
namespace observe = loader::observe;

constexpr const char* kExamples =
    R"(  bpfctl nat list                        who is translated to what, the latest first
  bpfctl nat list --pod default/web      of a pod's connections
  bpfctl nat list --port 53 --protocol udp -o wide
  bpfctl nat list -o json | jq 'map(select(.kind != "service")) | group_by(.seenAs) | map(length)'

service: its address became a backend's. source: the connection leaves under the node's address. both: an outside client
is sent on to another node. A connection that its socket was given a backend for has nothing to translate: those are in
`bpfctl map dump sockets`.)";

struct Options {
  FlowOptions flow;
  bool all = false;
  Format format = Format::kTable;
};

bool same(const observe::FlowEnd& one, const observe::FlowEnd& other) {
  return one.address == other.address && one.port == other.port;
}

const char* kind_of(const observe::Flow& flow) {
  const bool source = flow.seen_as.address != flow.source.address;
  return flow.service == 0 ? "source" : source ? "both" : "service";
}

Result<void> list(const Root& root, const Options& options) {
  const auto names = TRY(observe::PodNames::read(root));
  const ServiceWords services(root);
  observe::FlowFilter filter = TRY(options.flow.filter(names));
  filter.expired = options.all;
  auto found = TRY(observe::flows(root, filter, flow_timeouts(root)));
  std::erase_if(found, [](const observe::Flow& flow) { return !flow.backend; });
  std::ranges::sort(found, {}, &observe::Flow::age);
  Listing listing({{"protocol", "PROTO"},
                   {"state", "STATE"},
                   {"kind", "KIND"},
                   {"source", "SOURCE"},
                   {"sourcePod", "POD"},
                   {"destination", "DESTINATION"},
                   {"service", "SERVICE"},
                   {"seenAs", "SEEN AS"},
                   {"backend", "BEHIND IT"},
                   {"backendPod", "POD"},
                   {"idleSeconds", "IDLE", Show::kWide},
                   {"ageSeconds", "AGE", Show::kWide}});
  for (const auto& flow : found)
    listing.add({maps::protocol_name(flow.proto), flow.expired ? "expired" : maps::flow_state_name(flow.state),
                 kind_of(flow), end_text(flow.source), name(names.of(flow.source.address)), end_text(flow.destination),
                 name(services.of(flow.service)),
                 same(flow.seen_as, flow.source) ? nothing() : Cell(end_text(flow.seen_as)),
                 same(*flow.backend, flow.destination) ? nothing() : Cell(end_text(*flow.backend)),
                 name(names.of(flow.backend->address)), duration(flow.idle), duration(flow.age)});
  listing.print(options.format);
  return {};
}

}  // namespace

void add_nat(Commands& commands) {
  CLI::App& noun = commands.noun("nat", "Connections whose packets are translated");
  auto options = std::make_shared<Options>();
  CLI::App& verb = commands.verb(noun, "list", "List translated connections, the latest first", kExamples,
                                 [options](const Root& root) { return list(root, *options); });
  options->flow.declare(commands, verb);
  verb.add_flag("-a,--all", options->all, "Show those past their time-out, too");
  commands.output(verb, options->format, {"table", "wide", "json"});
}

}  // namespace sluice::cli
