/// bpfctl backend: the endpoints of Services as the datapath has them.
#include <algorithm>
#include <memory>

#include "cli/service.hpp"
#include "cli/text.hpp"
#include "maps/names.hpp"

namespace sluice::cli {

namespace {

using loader::Root;
namespace observe = loader::observe;

constexpr const char* kExamples =
    R"(  bpfctl backend list                           every endpoint's port that some Service has
  bpfctl backend list --service default/web     of one Service
  bpfctl backend list --address 10.244.1.0/24   whose address is in a block
  bpfctl backend list -o json | jq 'group_by(.state) | map({(.[0].state): length}) | add'

serving: gets new connections. ending: keeps those that it has. gone: its datagrams go elsewhere.)";

struct Options {
  std::string service, address;
  Format format = Format::kTable;
};

Result<void> list(const Root& root, const Options& options) {
  const auto maps = TRY(observe::ServiceMaps::read(root));
  const auto words = ServiceWords::or_say_why(root);
  const auto pods = TRY(observe::PodNames::read(root));
  std::vector<std::uint32_t> services;
  if (!options.service.empty()) services = TRY(words.meant_by(options.service, maps));
  const auto block = Prefix::parse(options.address);
  Listing listing({{"service", "SERVICE"},
                   {"backend", "BACKEND"},
                   {"address", "", Show::kJson},
                   {"port", "", Show::kJson},
                   {"pod", "POD"},
                   {"state", "STATE"},
                   {"local", "HERE"},
                   {"number", "NUMBER", Show::kWide},
                   {"serviceNumber", "SERVICE NUMBER", Show::kWide}});
  for (const auto& [number, one] : maps.backends) {
    if (!services.empty() && std::ranges::find(services, one.service) == services.end()) continue;
    if (block && !block->contains(one.end.address)) continue;
    listing.add({words.of(one.service), end_text(one.end), one.end.address.text(), one.end.port,
                 name(pods.of(one.end.address)), maps::backend_state_name(one.state), one.local, number, one.service});
  }
  listing.sort({"service"});
  listing.print(options.format);
  return {};
}

}  // namespace

void add_backend(Commands& commands) {
  CLI::App& noun = commands.noun("backend", "What Services choose from: their endpoints, port by port");
  auto options = std::make_shared<Options>();
  CLI::App& verb = commands.verb(noun, "list", "List backends with their states", kExamples,
                                 [options](const Root& root) { return list(root, *options); });
  CLI::Option* service = verb.add_option("--service", options->service,
                                         "Of this Service: NAMESPACE/NAME, an address of it, or its number");
  service->type_name("SERVICE");
  commands.complete(service, service_names);
  verb.add_option("--address", options->address, "With this address, or one of a block")->check(address_block());
  commands.output(verb, options->format, {"table", "wide", "json"});
}

}  // namespace sluice::cli
