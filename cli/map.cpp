/// bpfctl map: every pinned map, its elements decoded.
#include <algorithm>
#include <cerrno>
#include <memory>

#include "cli/command.hpp"
#include "cli/map_dump.hpp"
#include "cli/text.hpp"
#include "loader/program/status.hpp"

namespace sluice::cli {

namespace {

using loader::Root;

constexpr const char* kListExamples = R"(  bpfctl map list                the maps, their types and sizes
  bpfctl map list -o json | jq 'map(.memoryBytes) | add')";

constexpr const char* kDumpExamples = R"(  bpfctl map dump endpoints      the pods' addresses as the programs see them
  bpfctl map dump flows -o json  both halves of every entry, as they stand in the map
  bpfctl map dump runtime        the epoch, and which observer slots are in use)";

struct Options {
  std::string name;
  Format format = Format::kTable;
};

Result<void> list(const Root& root, Format format) {
  Listing listing({{"name", "MAP"},
                   {"id", "ID"},
                   {"type", "TYPE"},
                   {"keyBytes", "KEY BYTES"},
                   {"valueBytes", "VALUE BYTES"},
                   {"capacity", "CAPACITY"},
                   {"memoryBytes", "MEMORY"}});
  for (const auto& map : TRY(loader::program::map_status(root)))
    listing.add({map.name, map.id, map.type, map.key_bytes, map.value_bytes, map.capacity, bytes(map.memory_bytes)});
  listing.print(format);
  return {};
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const MapDump& one : map_dumps()) all.emplace_back(one.name);
  return all;
}

Result<void> dump(const Root& root, const Options& options) {
  const auto& all = map_dumps();
  const auto found = std::ranges::find_if(all, [&](const MapDump& one) { return one.name == options.name; });
  if (found == all.end())
    return refuse(ENOENT, "there is no map " + options.name + ": `bpfctl map list` shows those that are");
  const Listing listing = TRY(found->dump(root));
  listing.print(options.format);
  return {};
}

}  // namespace

void add_map(Commands& commands) {
  CLI::App& noun = commands.noun("map", "The datapath's maps");
  auto options = std::make_shared<Options>();
  CLI::App& listing = commands.verb(noun, "list", "List the maps", kListExamples,
                                    [options](const Root& root) { return list(root, options->format); });
  commands.output(listing, options->format, {"table", "json"});

  CLI::App& one = commands.verb(noun, "dump", "Show every element of a map, decoded", kDumpExamples,
                                [options](const Root& root) { return dump(root, *options); });
  CLI::Option* which = one.add_option("MAP", options->name, "The map's name");
  which->required();
  commands.complete(which, [](const Root&) { return names(); });
  commands.output(one, options->format, {"table", "json"});
}

}  // namespace sluice::cli
