/// bpfctl prog: the programs and the hooks that they hang on.
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include "cli/command.hpp"
#include "cli/text.hpp"
#include "loader/observe/pod_names.hpp"
#include "loader/program/status.hpp"

namespace sluice::cli {

namespace {

using loader::Root;
namespace program = loader::program;

constexpr const char* kExamples =
    R"(  bpfctl prog list               the programs, and the interfaces and the group that they are attached to
  bpfctl prog list --measure 5   how often they run in five seconds, and how long a run takes
  bpfctl prog list -o json | jq '.[].attachments | length'

Run counts grow only while run statistics are on (sysctl kernel.bpf_stats_enabled=1, or --measure, which switches them
on while it looks). They cost each run of a program some 20 ns.)";

struct Options {
  double seconds = 0;
  Format format = Format::kTable;
};

using Programs = std::vector<program::ProgramStatus>;

/// What they did while we looked, instead of all that was ever counted.
Result<Programs> measured(const Root& root, double seconds) {
  const Fd stats = TRY(program::enable_run_stats());
  const Programs before = TRY(program::program_status(root));
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  Programs now = TRY(program::program_status(root));
  for (auto& one : now)
    for (const auto& then : before)
      if (then.id == one.id) {
        one.run_count -= then.run_count;
        one.run_ns -= then.run_ns;
      }
  return now;
}

Cell mean(const program::ProgramStatus& one) {
  if (one.run_count == 0) return nothing();
  const double ns = static_cast<double>(one.run_ns) / static_cast<double>(one.run_count);
  return {fmt::format("{:.0f}", ns), ns};
}

Listing attachments(const Programs& programs, const loader::observe::PodNames& names) {
  Listing listing({{"interface", "INTERFACE OR GROUP"},
                   {"ifindex", "INDEX"},
                   {"pod", "POD"},
                   {"hook", "HOOK"},
                   {"program", "PROGRAM"},
                   {"programId", "ID"},
                   {"mode", "ATTACHED BY"}});
  for (const auto& one : programs)
    for (const auto& place : one.attachments)
      listing.add({place.place, place.ifindex != 0 ? Cell(place.ifindex) : nothing(),
                   name(names.of_interface(place.ifindex)), place.hook, one.name, place.program_id, place.mode});
  listing.sort({"interface", "hook"});
  return listing;
}

Result<void> list(const Root& root, const Options& options) {
  const auto names = TRY(loader::observe::PodNames::read(root));
  const Programs programs =
      options.seconds > 0 ? TRY(measured(root, options.seconds)) : TRY(program::program_status(root));
  Listing listing({{"name", "PROGRAM"},
                   {"id", "ID"},
                   {"tag", "TAG"},
                   {"instructions", "INSTRUCTIONS"},
                   {"jitedBytes", "MACHINE CODE"},
                   {"hooks", "HOOKS"},
                   {"runs", "RUNS"},
                   {"runNanoseconds", "", Show::kJson},
                   {"nanosecondsPerRun", "NS PER RUN"},
                   {"attachments", "", Show::kJson}});
  for (const auto& one : programs)
    listing.add({one.name, one.id, one.tag, one.instructions, bytes(one.jited_bytes), one.attachments.size(),
                 one.run_count, one.run_ns, mean(one), Cell("", attachments({one}, names).json())});
  listing.print(options.format);
  const Listing places = attachments(programs, names);
  if (options.format != Format::kJson && !places.empty()) fmt::print("\n{}", places.table(options.format));
  return {};
}

}  // namespace

void add_prog(Commands& commands) {
  CLI::App& noun = commands.noun("prog", "The datapath's programs");
  auto options = std::make_shared<Options>();
  CLI::App& verb = commands.verb(noun, "list", "List the programs, where they are attached and how they run", kExamples,
                                 [options](const Root& root) { return list(root, *options); });
  verb.add_option("-m,--measure", options->seconds, "Switch run statistics on for so long, and show these runs only")
      ->check(CLI::Range(0.1, 3600.0))
      ->type_name("SECONDS");
  commands.output(verb, options->format, {"table", "json"});
}

}  // namespace sluice::cli
