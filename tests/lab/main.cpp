/// sluice-lab: a cluster of nodes and pods on one machine, out of network namespaces.
#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "loader/kube/manifest.hpp"
#include "loader/net/netns.hpp"
#include "tests/lab/cgroup.hpp"
#include "tests/lab/lab.hpp"
#include "tests/lab/list.hpp"
#include "tests/lab/process.hpp"
#include "tests/lab/record.hpp"

namespace sluice::lab {

namespace {

constexpr const char* kFooter = R"(Examples:
  sluice-lab up --agents examples/two-nodes.yaml
  sluice-lab list
  sluice-lab exec default/client -- ping -c 3 10.244.1.3
  sluice-lab node node-1 -- bpfctl flow list
  sluice-lab world -- ping -c 3 172.18.0.11
  sluice-lab apply policy.yaml
  sluice-lab --name other up my.yaml      a second lab beside the first
  sluice-lab down

The world has the addresses 198.51.100.1 and 2001:db8:100::1. It is the nodes' default router and knows no way to pods.

Objects are Kubernetes' own. A Node needs an InternalIP in status.addresses, and spec.podCIDRs for its pods; a Pod needs
spec.nodeName. The annotation lab.sluice.dev/plugin-config of a Pod holds a JSON object whose keys go into the CNI
plugin's configuration, e.g. {"mtu": 1400}. All objects go to etc/sluice/objects under each node's root, Pods with the
addresses that they were given; an agent's log is var/log/sluiced.log there.)";

/// What the command line says.
struct Options {
  std::string name = "sluice";
  std::string plugin;
  bool agents = false;
  std::vector<std::string> files;
  std::string target;
  std::vector<std::string> command;
  std::string format = "table";
};

Path own_folder() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

/// The plugin that was built with this program; installed, they lie in different folders.
Path own_plugin() {
  const Path beside = own_folder() / "sluice-cni";
  std::error_code error;
  return std::filesystem::exists(beside, error) ? beside : Path(SLUICE_CNI_BINDIR) / "sluice-cni";
}

void tell(const std::string& line) { std::cout << line << '\n' << std::flush; }

Result<Objects> read_all(const std::vector<std::string>& files) {
  Objects objects;
  for (const auto& file : files) {
    auto found = TRY(loader::kube::read_manifest(file));
    objects.insert(objects.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  }
  return objects;
}

Result<Lab> lab_of(const Options& options) {
  auto paths = TRY(Paths::of(options.name));
  std::error_code error;
  const Path plugin = options.plugin.empty() ? own_plugin() : Path(options.plugin);
  if (!std::filesystem::exists(plugin, error)) return fail(ENOENT, "CNI plugin " + plugin.string());
  const Path agent = options.agents ? own_folder() / "sluiced" : Path();
  if (options.agents && !std::filesystem::exists(agent, error)) return fail(ENOENT, "agent " + agent.string());
  return Lab{std::move(paths), std::filesystem::absolute(plugin, error), agent};
}

using Work = Result<void> (*)(const Lab&, const Objects&, const Tell&);

Result<void> change(const Options& options, Work work) {
  const auto objects = TRY(read_all(options.files));
  return work(TRY(lab_of(options)), objects, tell);
}

Result<void> run_in_pod(const Options& options) {
  const auto paths = TRY(Paths::of(options.name));
  const auto name = TRY(PodName::parse(options.target));
  const auto pod = TRY(load_pod(paths, name));
  if (!pod || !pod->ready) return refuse(ENOENT, "there is no Pod " + name.text() + " in lab " + options.name);
  const auto netns = TRY(loader::net::Netns::open(netns_of(paths, *pod)));
  return become({netns, TRY(cgroup::create(paths.pod_cgroup(pod->node, name)))}, options.command, {});
}

Result<void> run_on_node(const Options& options) {
  const auto paths = TRY(Paths::of(options.name));
  const auto node = TRY(load_node(paths, options.target));
  if (!node || !node->ready) return refuse(ENOENT, "there is no Node " + options.target + " in lab " + options.name);
  const auto netns = TRY(loader::net::Netns::open(paths.node_netns(node->name)));
  const char* const path = std::getenv("PATH");
  return become({netns, TRY(cgroup::create(paths.node_cgroup(node->name)))}, options.command,
                {{"SLUICE_ROOT", paths.node_root(node->name).prefix()},
                 {"PATH", own_folder().string() + ":" + (path != nullptr ? path : "/usr/sbin:/usr/bin:/sbin:/bin")}});
}

Result<void> run_in_world(const Options& options) {
  const auto paths = TRY(Paths::of(options.name));
  auto opened = loader::net::Netns::open(paths.underlay_netns());
  if (opened.failed_with(ENOENT))
    return refuse(ENOENT, "there is no lab " + options.name + "; sluice-lab up makes one");
  const auto netns = TRY(std::move(opened));
  return become({netns, TRY(cgroup::create(paths.cgroup() / "underlay"))}, options.command, {});
}

Result<void> list(const Options& options) {
  const auto paths = TRY(Paths::of(options.name));
  std::cout << TRY(options.format == "json" ? list_json(paths) : list_table(paths));
  return {};
}

Result<void> take_down(const Options& options) {
  const auto paths = TRY(Paths::of(options.name));
  tell("lab " + options.name + (TRY(down(paths)) ? " is gone" : " is not there"));
  return {};
}

/// The exit status of what could not be done; those of a command that was not started are a shell's.
int report(const Result<void>& result, bool command) {
  if (result) return 0;
  std::cerr << "sluice-lab: " << result.error().message << '\n';
  if (!command) return 1;
  return result.error().code == ENOENT ? 127 : 126;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("A cluster of nodes and pods on one machine, out of network namespaces.", "sluice-lab");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.set_version_flag("--version", SLUICE_VERSION);
  Options options;
  int status = 0;
  app.add_option("--name,-n", options.name, "the lab; several stand side by side")->capture_default_str();
  app.add_option("--plugin", options.plugin,
                 "attach pods by this CNI plugin [sluice-cni beside this program, else in " SLUICE_CNI_BINDIR "]");

  const auto changing = [&](const char* name, const char* help, Work work) {
    auto* const command = app.add_subcommand(name, help);
    command->add_option("FILE", options.files, "YAML or JSON files of Kubernetes objects")->required();
    command->callback([&, work] { status = report(change(options, work), false); });
    return command;
  };
  changing("up", "Make a lab from the Nodes and Pods of the files", up)
      ->add_flag("--agents", options.agents, "run sluiced, which lies beside this program, on every node");
  changing("apply", "Add what is not there yet; replace what agents know of the rest", apply);
  changing("delete", "Remove what the files name; a Node's pods go with it", remove);

  auto* const exec = app.add_subcommand("exec", "Run a command in a pod's network");
  exec->add_option("POD", options.target, "NAMESPACE/POD, or POD in the namespace default")->required();
  exec->add_option("COMMAND", options.command, "after --")->required();
  exec->callback([&] { status = report(run_in_pod(options), true); });
  auto* const node = app.add_subcommand("node", "Run a command on a node, with SLUICE_ROOT set to its root");
  node->add_option("NODE", options.target, "the node's name")->required();
  node->add_option("COMMAND", options.command, "after --")->required();
  node->callback([&] { status = report(run_on_node(options), true); });

  auto* const world = app.add_subcommand("world", "Run a command outside of the cluster");
  world->add_option("COMMAND", options.command, "after --")->required();
  world->callback([&] { status = report(run_in_world(options), true); });

  auto* const listing = app.add_subcommand("list", "Show nodes and pods");
  listing->add_option("-o,--output", options.format, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  listing->callback([&] { status = report(list(options), false); });
  app.add_subcommand("down", "End the lab's processes and remove all of it, also after a crash")->callback([&] {
    status = report(take_down(options), false);
  });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  return status;
}

}  // namespace sluice::lab

int main(int argc, char** argv) { return sluice::lab::main(argc, argv); }
