/// sluiced: puts the node's datapath there, keeps it there, and takes it away again. Traffic never needs it to run.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <string>

#include "loader/agent/agent.hpp"
#include "loader/config.hpp"
#include "loader/program/lifecycle.hpp"
#include "loader/root.hpp"

namespace {

using namespace sluice;          // NOLINT(google-build-using-namespace)
using namespace sluice::loader;  // NOLINT(google-build-using-namespace)

constexpr int kFailed = 1;

const char* words(program::LoadReport::Outcome outcome) {
  switch (outcome) {
    case program::LoadReport::Outcome::kUnchanged:
      return "unchanged: this datapath is in force already";
    case program::LoadReport::Outcome::kLoaded:
      return "loaded";
    case program::LoadReport::Outcome::kUpgraded:
      return "upgraded";
  }
  return "";
}

Result<void> load(const Root& root) {
  const NodeConfig config = TRY(NodeConfig::read(root));
  const program::LoadReport report = TRY(program::load(root, config));
  for (const std::string& warning : report.warnings) fmt::print(stderr, "sluiced: warning: {}\n", warning);
  fmt::print("{} ({} hooks switched)\n", words(report.outcome), report.hooks);
  return {};
}

Result<void> remove(const Root& root) {
  fmt::print("removed ({} hooks detached)\n", TRY(program::remove(root)));
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "The node agent of Sluice.\n\n"
      "Without a command it runs as a service: loads the datapath, or upgrades it in place, and looks after it. The\n"
      "datapath goes on when it stops.\n\n"
      "Exit status: 0 done; 1 failed, with a sentence that says why; 2 wrong usage.");
  app.footer(
      "Files (below --root):\n"
      "  /etc/sluice/sluice.yaml   the configuration; without it, the defaults\n"
      "  /sys/fs/bpf/sluice        programs, maps and links\n"
      "  /run/sluice               the lock, and which programs are in force\n\n"
      "Signals: SIGHUP reads the configuration again; SIGTERM and SIGINT end the service and leave the datapath.\n\n"
      "Examples:\n"
      "  sluiced load                           after a change of sluice.yaml, without the service\n"
      "  systemctl reload sluiced               the same with it\n"
      "  sluiced remove                         before Sluice is uninstalled");
  app.name("sluiced");
  app.set_version_flag("--version", SLUICE_VERSION);
  app.require_subcommand(0, 1);

  std::string prefix;
  app.add_option("--root", prefix, "Folder that stands before every path, for a second node on this machine")
      ->envname("SLUICE_ROOT");
  app.add_subcommand("run", "Run as a service (the default)");
  const CLI::App* load_command = app.add_subcommand(
      "load", "Load the datapath, or put this version and configuration in place of what runs, and exit");
  const CLI::App* remove_command = app.add_subcommand(
      "remove", "Take the datapath off every interface and remove its maps; pods go on through the host's stack");
  for (CLI::App* command : app.get_subcommands({})) command->fallthrough();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const Root root(prefix);
  const Result<void> done = load_command->parsed()     ? load(root)
                            : remove_command->parsed() ? remove(root)
                                                       : agent::run(root);
  if (done) return 0;
  fmt::print(stderr, "sluiced: {}\n", done.error().message);
  return kFailed;
}
