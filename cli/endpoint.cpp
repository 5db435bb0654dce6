/// bpfctl endpoint: the pods of this node.
#include <algorithm>
#include <cerrno>
#include <memory>

#include "cli/command.hpp"
#include "loader/observe/endpoints.hpp"
#include "loader/observe/pod_names.hpp"

namespace sluice::cli {

namespace {

using loader::Root;
using loader::observe::EndpointStatus;
using loader::observe::PodName;

constexpr const char* kListExamples =
    R"(  bpfctl endpoint list              the pods' interfaces, and whether packets flow through them
  bpfctl endpoint list -o wide      with MAC addresses, MTU, network and container
  bpfctl endpoint list -o json | jq -r '.[] | select(.problems != []) | .pod')";

constexpr const char* kGetExamples = R"(  bpfctl endpoint get default/web   the interfaces of a pod
  bpfctl endpoint get 10.244.1.3    whoever has this address
  bpfctl endpoint get slu0123456789a)";

struct Options {
  std::string which;
  Format format = Format::kTable;
};

std::string joined(const std::vector<std::string>& words, const char* separator) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : separator) + word;
  return text;
}

std::vector<std::string> texts(const std::vector<Address>& addresses) {
  std::vector<std::string> all;
  for (const Address& address : addresses) all.push_back(address.text());
  return all;
}

/// How packets reach the pod.
const char* way(const EndpointStatus& status) {
  return status.through_stack ? "stack" : status.shaped ? "shaped" : "direct";
}

const std::vector<Column>& columns() {
  static const std::vector<Column> all = {{"pod", "POD"},
                                          {"addresses", "ADDRESSES"},
                                          {"hostInterface", "HOST INTERFACE"},
                                          {"hostIfindex", "INDEX", Show::kWide},
                                          {"attached", "ATTACHED BY"},
                                          {"interface", "IN POD", Show::kWide},
                                          {"mac", "MAC", Show::kWide},
                                          {"mtu", "MTU", Show::kWide},
                                          {"delivery", "DELIVERY", Show::kWide},
                                          {"network", "NETWORK", Show::kWide},
                                          {"container", "CONTAINER", Show::kWide},
                                          {"netns", "NETWORK NAMESPACE", Show::kJson},
                                          {"problems", "STATE"}};
  return all;
}

std::vector<Cell> cells(const EndpointStatus& status) {
  const auto addresses = texts(status.addresses);
  return {name(status.pod),
          Cell(joined(addresses, ","), addresses),
          name(status.host_ifname),
          status.host_ifindex,
          status.mode == loader::AttachMode::kTcx ? "tcx" : "clsact",
          name(status.ifname),
          status.mac.text(),
          status.mtu,
          way(status),
          name(status.network),
          Cell(status.container_id.substr(0, 12), status.container_id),
          name(status.netns),
          Cell(status.problems.empty() ? "ready" : joined(status.problems, "; "), status.problems)};
}

Result<void> list(const Root& root, const Options& options) {
  Listing listing(columns());
  for (const auto& status : TRY(loader::observe::endpoints(root))) listing.add(cells(status));
  listing.print(options.format);
  return {};
}

bool is_meant(const EndpointStatus& status, const std::string& which) {
  if (const auto address = Address::parse(which))
    return std::ranges::find(status.addresses, *address) != status.addresses.end();
  if (status.host_ifname == which || (which.size() >= 12 && status.container_id.starts_with(which))) return true;
  const auto pod = PodName::parse(which);
  return pod && pod->text() == status.pod;
}

Result<void> get(const Root& root, const Options& options) {
  Json all = Json::array();
  std::string text;
  for (const auto& status : TRY(loader::observe::endpoints(root))) {
    if (!is_meant(status, options.which)) continue;
    Details details;
    const auto values = cells(status);
    for (std::size_t i = 0; i < values.size(); i++) details.add(columns()[i], values[i]);
    all.push_back(details.json());
    text += (text.empty() ? "" : "\n") + details.text();
  }
  if (all.empty())
    return refuse(ENOENT,
                  "no endpoint " + options.which + " on this node: `bpfctl endpoint list` shows those that are");
  if (options.format == Format::kJson)
    print_json(all);
  else
    fmt::print("{}", text);
  return {};
}

}  // namespace

void add_endpoint(Commands& commands) {
  CLI::App& noun = commands.noun("endpoint", "The pods' interfaces on this node");
  auto options = std::make_shared<Options>();
  CLI::App& listing = commands.verb(noun, "list", "List the pods' interfaces and what is wrong with them",
                                    kListExamples, [options](const Root& root) { return list(root, *options); });
  commands.output(listing, options->format, {"table", "wide", "json"});

  CLI::App& one = commands.verb(noun, "get", "Show all that is known of one pod", kGetExamples,
                                [options](const Root& root) { return get(root, *options); });
  CLI::Option* which =
      one.add_option("ENDPOINT", options->which, "NAMESPACE/NAME, an address, an interface, or a container's id");
  which->required();
  commands.complete(which, pod_names);
  commands.output(one, options->format, {"table", "json"});
}

}  // namespace sluice::cli
