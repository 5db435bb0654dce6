/// bpfctl metrics: all that the datapath counts.
#include <memory>

#include "cli/command.hpp"
#include "cli/levels.hpp"
#include "loader/observe/metrics.hpp"
#include "maps/names.hpp"

namespace sluice::cli {

namespace {

using loader::Root;
namespace observe = loader::observe;

constexpr const char* kExamples =
    R"(  bpfctl metrics                     packets by hook and fate, other counts, how full the maps are
  bpfctl metrics --all               what is zero, too
  bpfctl metrics -o json | jq .counters
  bpfctl metrics -o prometheus > /var/lib/node_exporter/sluice.prom)";

struct Options {
  bool all = false;
  Format format = Format::kTable;
};

Result<Listing> traffic(const Root& root, bool all) {
  Listing listing({{"hook", "HOOK"}, {"verdict", "VERDICT"}, {"packets", "PACKETS"}, {"bytes", "BYTES"}});
  for (const auto& one : TRY(observe::traffic(root))) {
    if (one.packets == 0 && one.reason != maps::DROP_NONE && !all) continue;
    listing.add({maps::hook_name(one.hook), maps::drop_reason_name(one.reason), one.packets, bytes(one.bytes)});
  }
  return listing;
}

Result<Listing> counters(const Root& root, bool all) {
  Listing listing({{"name", "COUNTER"}, {"value", "VALUE"}, {"text", "WHAT"}});
  for (const auto& counter : TRY(observe::counters(root)))
    if (counter.value != 0 || all) listing.add({std::string(counter.name), counter.value, std::string(counter.text)});
  return listing;
}

Result<void> show(const Root& root, const Options& options) {
  if (options.format == Format::kPrometheus) {
    fmt::print("{}", TRY(observe::prometheus_text(root)));
    return {};
  }
  const bool json = options.format == Format::kJson, all = options.all || json;
  const Listing packets = TRY(traffic(root, all)), counts = TRY(counters(root, all)), levels = TRY(map_levels(root));
  if (json) {
    print_json({{"traffic", packets.json()}, {"counters", counts.json()}, {"maps", levels.json()}});
    return {};
  }
  fmt::print("{}", packets.table(options.format));
  if (!counts.empty()) fmt::print("\n{}", counts.table(options.format));
  fmt::print("\n{}", levels.table(options.format));
  return {};
}

}  // namespace

Result<Listing> map_levels(const Root& root) {
  Listing listing({{"name", "MAP"}, {"entries", "ENTRIES"}, {"capacity", "CAPACITY"}, {"percent", "FULL"}});
  for (const auto& level : TRY(observe::map_levels(root))) {
    const double percent = level.capacity == 0 ? 0 : 100.0 * static_cast<double>(level.entries) / level.capacity;
    listing.add({level.name, level.entries, level.capacity, Cell(fmt::format("{:.0f} %", percent), percent)});
  }
  return listing;
}

void add_metrics(Commands& commands) {
  auto options = std::make_shared<Options>();
  CLI::App& verb = commands.verb("metrics", "Show all that the datapath counts", kExamples,
                                 [options](const Root& root) { return show(root, *options); });
  verb.add_flag("-a,--all", options->all, "Show what is zero, too (JSON and Prometheus always do)");
  commands.output(verb, options->format, {"table", "json", "prometheus"});
}

}  // namespace sluice::cli
