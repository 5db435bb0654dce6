/// bpfctl node: the nodes of the cluster, and how this one reaches them and their pods.
#include <algorithm>
#include <cerrno>
#include <memory>

#include "cli/command.hpp"
#include "loader/observe/nodes.hpp"

namespace sluice::cli {

namespace {

using loader::Root;
using loader::observe::NodeStatus;

constexpr const char* kListExamples =
    R"(  bpfctl node list                  the nodes, and by which way packets go to their pods
  bpfctl node list -o json | jq -r '.[] | select(.way == "tunnel") | .name')";

constexpr const char* kGetExamples = R"(  bpfctl node get node-2            all that is known of one node
  bpfctl node get 192.0.2.12        whoever has this address)";

struct Options {
  std::string which;
  Format format = Format::kTable;
};

template <typename T>
Cell list_of(const std::vector<T>& all) {
  std::vector<std::string> words;
  std::string text;
  for (const T& one : all) {
    words.push_back(one.text());
    text += (text.empty() ? "" : ",") + words.back();
  }
  return {text.empty() ? nothing().text : text, words};
}

const std::vector<Column>& columns() {
  static const std::vector<Column> all = {{"name", "NODE"},          {"addresses", "ADDRESSES"},
                                          {"podCIDRs", "POD CIDRS"}, {"way", "WAY TO PODS"},
                                          {"device", "DEVICE"},      {"mtu", "MTU"},
                                          {"reachability", "STATE"}};
  return all;
}

std::vector<Cell> cells(const NodeStatus& node) {
  return {name(node.name),  list_of(node.addresses), list_of(node.pod_cidrs),
          name(node.way),   name(node.device),       node.mtu != 0 ? Cell(node.mtu) : nothing(),
          node.reachability};
}

Result<void> list(const Root& root, const Options& options) {
  Listing listing(columns());
  for (const NodeStatus& node : TRY(loader::observe::nodes(root))) listing.add(cells(node));
  listing.print(options.format);
  return {};
}

bool is_meant(const NodeStatus& node, const std::string& which) {
  const auto address = Address::parse(which);
  return node.name == which || (address && std::ranges::find(node.addresses, *address) != node.addresses.end());
}

Result<void> get(const Root& root, const Options& options) {
  const auto all = TRY(loader::observe::nodes(root));
  const auto found = std::ranges::find_if(all, [&](const auto& node) { return is_meant(node, options.which); });
  if (found == all.end())
    return refuse(ENOENT, "no node " + options.which + " is known here: `bpfctl node list` shows those that are");
  Details details;
  const auto values = cells(*found);
  for (std::size_t i = 0; i < values.size(); i++) details.add(columns()[i], values[i]);
  if (options.format == Format::kJson)
    print_json(details.json());
  else
    fmt::print("{}", details.text());
  return {};
}

std::vector<std::string> node_names(const Root& root) {
  std::vector<std::string> names;
  if (const auto all = loader::observe::nodes(root))
    for (const NodeStatus& node : *all) names.push_back(node.name);
  return names;
}

}  // namespace

void add_node(Commands& commands) {
  CLI::App& noun = commands.noun("node", "The nodes of the cluster, as this one reaches them");
  auto options = std::make_shared<Options>();
  CLI::App& listing = commands.verb(noun, "list", "List the nodes and the ways to their pods", kListExamples,
                                    [options](const Root& root) { return list(root, *options); });
  commands.output(listing, options->format, {"table", "json"});
  CLI::App& one = commands.verb(noun, "get", "Show all that is known of one node", kGetExamples,
                                [options](const Root& root) { return get(root, *options); });
  CLI::Option* which = one.add_option("NODE", options->which, "A node's name or one of its addresses");
  which->required();
  commands.complete(which, node_names);
  commands.output(one, options->format, {"table", "json"});
}

}  // namespace sluice::cli
