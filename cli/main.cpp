/// bpfctl: shows what the datapath of a node does. Needs no daemon: it reads the pinned maps and programs.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <string>

#include "cli/command.hpp"
#include "loader/program/datapath.hpp"
#include "loader/root.hpp"

namespace {

using namespace sluice;  // NOLINT(google-build-using-namespace)

constexpr const char* kAbout =
    "Shows what Sluice's datapath does on this node: pods, connections, drops, counts. It needs no daemon.";

constexpr const char* kFooter = R"(Examples:
  bpfctl status                         is it loaded, what hangs where, is anything wrong
  bpfctl flow list --pod default/web    a pod's connections
  bpfctl flow watch --event dropped     what is dropped, as it happens
  bpfctl drops --interval 2             why packets are dropped, and how fast
  bpfctl trace --from default/web --to 10.96.0.10:53/udp    what would become of a packet
  bpfctl policy check --from default/client --to default/web --port 80
                                        does policy allow it, and which rule says so
  bpfctl service explain default/web    which of its endpoints get connections here, and why the others do not
  bpfctl node list                      the other nodes, and the ways to their pods
  bpfctl route get 10.244.2.7           what becomes of packets to an address

Exit status: 0 done; 1 failed, with a sentence that says why; 2 wrong usage; 3 what was asked for does not exist (a pod,
a map, or the datapath itself); 4 a traced packet would be dropped.
Every command has examples of its own: bpfctl flow list --help)";

int report(const Error& error, const loader::Root& root) {
  if (error.code == ENOENT && loader::program::Datapath::open(root).failed_with(ENOENT)) {
    fmt::print(stderr, "bpfctl: no datapath is loaded ({} has no programs): `sluiced load` loads it\n",
               root.pins().string());
    return cli::kNotFound;
  }
  fmt::print(stderr, "bpfctl: {}\n", error.message);
  if (error.code == EPERM || error.code == EACCES) fmt::print(stderr, "bpfctl: it must run as root: sudo bpfctl ...\n");
  return error.code == ENOENT ? cli::kNotFound : cli::kFailed;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(kAbout, "bpfctl");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.set_version_flag("--version", SLUICE_VERSION);
  std::string prefix;
  app.add_option("--root", prefix, "Folder that stands before every path, for a second node on this machine")
      ->type_name("FOLDER")
      ->envname("SLUICE_ROOT");

  cli::Commands commands(app);
  cli::add_status(commands);
  cli::add_endpoint(commands);
  cli::add_flow(commands);
  cli::add_drops(commands);
  cli::add_deny(commands);
  cli::add_trace(commands);
  cli::add_metrics(commands);
  cli::add_policy(commands);
  cli::add_service(commands);
  cli::add_backend(commands);
  cli::add_nat(commands);
  cli::add_node(commands);
  cli::add_route(commands);
  cli::add_bgp(commands);
  cli::add_map(commands);
  cli::add_prog(commands);
  cli::add_feature(commands);
  cli::add_version(commands);
  cli::add_completion(commands);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? cli::kDone : cli::kUsage;
  }
  const loader::Root root(prefix);
  const auto done = commands.chosen()(root);
  return done ? *done : report(done.error(), root);
}
