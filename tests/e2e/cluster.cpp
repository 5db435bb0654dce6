#include "tests/e2e/cluster.hpp"

#include <unistd.h>

#include <atomic>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "maps/views.hpp"
#include "tests/lab/node.hpp"

namespace sluice::e2e {

namespace {

std::string slurp(const std::filesystem::path& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

}  // namespace

TextFile::TextFile(const std::string& text, const std::string& ending) {
  static std::atomic<int> count = 0;
  path_ = std::filesystem::temp_directory_path() /
          ("sluice-e2e-" + std::to_string(getpid()) + "-" + std::to_string(count++) + ending);
  std::ofstream(path_) << text;
}

TextFile::~TextFile() { std::filesystem::remove(path_); }

std::string node_yaml(int number) {
  const auto n = std::to_string(number);
  return "---\napiVersion: v1\nkind: Node\nmetadata: {name: node-" + n + "}\nspec: {podCIDRs: [10.244." + n +
         ".0/24, 'fd00:10:244:" + n + "::/64']}\nstatus:\n  addresses:\n  - {type: InternalIP, address: 172.18.0.1" +
         n + "}\n  - {type: InternalIP, address: 'fd00:172:18::1" + n + "'}\n";
}

std::string overlay_node_yaml(int number, bool underlay_v4) { return mode_node_yaml(number, "overlay", underlay_v4); }

std::string mode_node_yaml(int number, const std::string& mode, bool underlay_v4) {
  return config_node_yaml(number, R"({"mode": ")" + mode + R"("})", underlay_v4);
}

std::string config_node_yaml(int number, const std::string& config, bool underlay_v4) {
  const std::string n = std::to_string(number);
  const std::string v4 = "{type: InternalIP, address: 172.18.0.1" + n + "}";
  const std::string v6 = "{type: InternalIP, address: 'fd00:172:18::1" + n + "'}";
  return "---\napiVersion: v1\nkind: Node\nmetadata:\n  name: node-" + n +
         "\n  annotations: {lab.sluice.dev/config: '" + config + "'}\nspec: {podCIDRs: [10.244." + n +
         ".0/24, 'fd00:10:244:" + n + "::/64']}\nstatus: {addresses: [" +
         (underlay_v4 ? v4 + ", " + v6 : v6 + ", " + v4) + "]}\n";
}

std::string pod_yaml(const std::string& name, const std::string& node, const std::string& plugin_config) {
  std::string yaml = "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: " + name + "\n";
  if (!plugin_config.empty()) {
    yaml += "  annotations: {lab.sluice.dev/plugin-config: '" + plugin_config + "'}\n";
  }
  return yaml + "spec: {nodeName: " + node + "}\n";
}

std::string new_lab_name() {
  static std::atomic<int> count = 0;
  return "e2e-" + std::to_string(getpid()) + "-" + std::to_string(count++);
}

std::string remains_of(const std::string& lab) {
  std::string remains;
  std::error_code error;
  for (const char* folder : {"/run/sluice-lab", "/sys/fs/cgroup/sluice-lab", "/sys/fs/cgroup/unified/sluice-lab"}) {
    for (const char* ending : {"", ".lock"}) {
      const auto path = std::filesystem::path(folder) / (lab + ending);
      if (std::filesystem::exists(path, error)) remains += path.string() + "\n";
    }
  }
  for (const auto& entry : std::filesystem::directory_iterator("/run/netns", error)) {
    if (entry.path().filename().string().starts_with(lab + ".")) remains += entry.path().string() + "\n";
  }
  std::istringstream mounts(slurp("/proc/self/mountinfo"));
  for (std::string line; std::getline(mounts, line);) {
    if (line.find("/" + lab + "/") != std::string::npos || line.find("/" + lab + ".") != std::string::npos) {
      remains += line + "\n";
    }
  }
  return remains;
}

const char* const kTwoNodes = SLUICE_EXAMPLES "/two-nodes.yaml";

Cluster::Cluster() : name_(new_lab_name()) { up(kTwoNodes); }

Cluster::Cluster(const std::string& yaml) : name_(new_lab_name()) {
  const TextFile file(yaml);
  up(file.path());
}

// Not in the constructors: a failed FAIL throws out of them, and then no destructor runs.
void Cluster::up(const std::string& file) {
  const auto outcome = lab({"up", file});
  if (outcome.status != 0) {
    (void)lab({"down"});
    FAIL("sluice-lab up: " << outcome.output);
  }
}

Cluster::~Cluster() {
  const auto outcome = lab({"down"});
  CHECK_MESSAGE(outcome.status == 0, outcome.output);
}

Outcome Cluster::lab(const Command& arguments, const std::string& input) const {
  Command command{binary("sluice-lab").string(), "--name", name_};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run(command, input);
}

Outcome Cluster::exec(const std::string& pod, const Command& command, const std::string& input) const {
  Command arguments{"exec", pod, "--"};
  arguments.insert(arguments.end(), command.begin(), command.end());
  return lab(arguments, input);
}

Outcome Cluster::on_node(const std::string& node, const Command& command) const {
  Command arguments{"node", node, "--"};
  arguments.insert(arguments.end(), command.begin(), command.end());
  return lab(arguments);
}

Place Cluster::pod(const std::string& name) const {
  const auto list = nlohmann::json::parse(lab({"list", "-o", "json"}).output);
  for (const auto& pod : list.at("pods")) {
    const std::string ns = pod.at("namespace"), own = pod.at("name"), node = pod.at("node");
    if (ns + "/" + own != name && ns + "/" + own != "default/" + name) continue;
    Place place{name,
                node,
                must(loader::net::Netns::open(pod.at("netns").get<std::string>())),
                {},
                root(node).cgroup() / (ns + "." + own)};
    for (const std::string text : pod.at("ips")) {
      const auto address = must(Address::parse(text));
      place.addresses[address.is_v4()] = address;
    }
    return place;
  }
  throw std::runtime_error("no pod " + name);
}

Place Cluster::node(const std::string& name) const {
  const auto list = nlohmann::json::parse(lab({"list", "-o", "json"}).output);
  for (const auto& node : list.at("nodes")) {
    if (node.at("name") != name) continue;
    Place place{
        name, name, must(loader::net::Netns::open(node.at("netns").get<std::string>())), {}, root(name).cgroup()};
    for (const std::string text : node.at("addresses")) {
      const auto address = must(Address::parse(text));
      place.addresses[address.is_v4()] = address;
    }
    return place;
  }
  throw std::runtime_error("no node " + name);
}

Place Cluster::world() const {
  Place place{"world", "", must(loader::net::Netns::open("/run/netns/" + name_ + ".underlay")), {}};
  for (const char* text : {lab::kWorldV4, lab::kWorldV6}) {
    const auto address = must(Address::parse(text));
    place.addresses[address.is_v4()] = address;
  }
  return place;
}

loader::Root Cluster::root(const std::string& node) const {
  return loader::Root("/run/sluice-lab/" + name_ + "/nodes/" + node + "/root");
}

std::uint64_t Cluster::packets(const std::string& node, maps::drop_reason reason) const {
  const auto metrics = must(maps::open<maps::Metrics>(root(node).maps()));
  std::uint64_t sum = 0;
  for (std::uint32_t hook = 0; hook < maps::HOOK_MAX; ++hook) {
    for (const auto& cpu : must(metrics.lookup(maps::metric_index(reason, hook)))) sum += cpu.packets;
  }
  return sum;
}

}  // namespace sluice::e2e
