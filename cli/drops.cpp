/// bpfctl drops: why packets were dropped.
#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

#include "cli/command.hpp"
#include "cli/text.hpp"
#include "loader/observe/metrics.hpp"
#include "maps/names.hpp"

namespace sluice::cli {

namespace {

using loader::Root;
using loader::observe::Traffic;

constexpr const char* kExamples =
    R"(  bpfctl drops                   every reason that has dropped a packet, since the datapath was loaded
  bpfctl drops --interval 5      the rates of the next five seconds as well
  bpfctl drops --all             the reasons that have dropped nothing, too
  bpfctl drops -o json | jq '.[] | select(.packetsPerSecond > 0)')";

struct Options {
  double interval = 0;
  bool all = false;
  Format format = Format::kTable;
};

const Traffic* same_place(const std::vector<Traffic>& all, const Traffic& one) {
  const auto found = std::ranges::find_if(
      all, [&](const Traffic& other) { return other.reason == one.reason && other.hook == one.hook; });
  return found != all.end() ? &*found : nullptr;
}

Cell rate(const std::vector<Traffic>& before, const Traffic& now, double seconds) {
  if (seconds <= 0) return nothing();
  const Traffic* then = same_place(before, now);
  const auto packets = static_cast<double>(now.packets - (then != nullptr ? then->packets : 0)) / seconds;
  return {rate_text(packets), packets};
}

Result<void> show(const Root& root, const Options& options) {
  using Clock = std::chrono::steady_clock;
  std::vector<Traffic> before;
  double seconds = 0;
  if (options.interval > 0) {
    before = TRY(loader::observe::traffic(root));
    const auto start = Clock::now();
    std::this_thread::sleep_for(std::chrono::duration<double>(options.interval));
    seconds = std::chrono::duration<double>(Clock::now() - start).count();
  }
  Listing listing({{"reason", "REASON"},
                   {"hook", "HOOK"},
                   {"packets", "PACKETS"},
                   {"bytes", "BYTES"},
                   {"packetsPerSecond", "PER SECOND", options.interval > 0 ? Show::kAlways : Show::kJson},
                   {"text", "WHY"}});
  for (const Traffic& one : TRY(loader::observe::traffic(root))) {
    if (one.reason == maps::DROP_NONE || (one.packets == 0 && !options.all)) continue;
    listing.add({maps::drop_reason_name(one.reason), maps::hook_name(one.hook), one.packets, bytes(one.bytes),
                 rate(before, one, seconds), maps::drop_reason_text(one.reason)});
  }
  if (listing.empty() && options.format != Format::kJson) {
    fmt::print("Nothing was dropped since the datapath was loaded.\n");
    return {};
  }
  listing.print(options.format);
  return {};
}

}  // namespace

void add_drops(Commands& commands) {
  auto options = std::make_shared<Options>();
  CLI::App& verb = commands.verb("drops", "Show why packets were dropped, and how many", kExamples,
                                 [options](const Root& root) { return show(root, *options); });
  verb.add_option("-i,--interval", options->interval, "Wait so long and show rates, too")
      ->check(CLI::Range(0.1, 3600.0))
      ->type_name("SECONDS");
  verb.add_flag("-a,--all", options->all, "Show reasons that have dropped nothing, too");
  commands.output(verb, options->format, {"table", "json"});
}

}  // namespace sluice::cli
