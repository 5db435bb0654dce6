/// bpfctl route: what the datapath does with packets to an address.
#include <memory>

#include "cli/command.hpp"
#include "loader/observe/route.hpp"

namespace sluice::cli {

namespace {

using loader::Root;

constexpr const char* kExamples =
    R"(  bpfctl route get 10.244.2.7       what a pod of this node sends there goes this way
  bpfctl route get 198.51.100.9 -o json | jq -r .source)";

struct Options {
  std::string address;
  Format format = Format::kTable;
};

Result<void> get(const Root& root, const Options& options) {
  const auto address = TRY(Address::parse(options.address));
  const auto route = TRY(loader::observe::route(root, address));
  const auto text_of = [](const std::optional<Address>& one) { return one ? Cell(one->text()) : nothing(); };
  Details details;
  details.add({"address", "Address"}, address.text());
  details.add({"who", "Whose"}, route.who);
  details.add({"way", "Way"}, route.way);
  details.add({"text", "What happens"}, route.text);
  details.add({"node", "Node"}, name(route.node));
  details.add({"device", "Device"}, name(route.device));
  details.add({"nextHop", "Next hop"}, text_of(route.next_hop));
  details.add({"source", "Sent under"}, route.source ? Cell(route.source->text()) : Cell("the pod's address", nullptr));
  details.add({"mtu", "MTU"}, route.mtu != 0 ? Cell(route.mtu) : nothing());
  details.add({"identity", "Identity"}, route.identity != 0 ? Cell(route.identity) : nothing());
  if (options.format == Format::kJson)
    print_json(details.json());
  else
    fmt::print("{}", details.text());
  return {};
}

}  // namespace

void add_route(Commands& commands) {
  CLI::App& noun = commands.noun("route", "The ways of packets");
  auto options = std::make_shared<Options>();
  CLI::App& verb = commands.verb(noun, "get", "Show what becomes of packets that pods send to an address", kExamples,
                                 [options](const Root& root) { return get(root, *options); });
  verb.add_option("ADDRESS", options->address, "An IPv4 or IPv6 address")
      ->required()
      ->check(checked_by("ADDRESS", [](const std::string& text) { return Address::parse(text); }));
  commands.output(verb, options->format, {"table", "json"});
}

}  // namespace sluice::cli
