#include "tests/cni/host.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "maps/views.hpp"

namespace sluice::test {

namespace fs = std::filesystem;

namespace {

constexpr const char* kPluginPath = "/usr/lib/cni";

std::string next_id() {
  static int count = 0;
  return "container" + std::to_string(count++);
}

void add_files(std::set<std::string>& lines, const fs::path& folder) {
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    if (entry.is_symlink() || !entry.is_directory()) lines.insert(entry.path().string());
  }
}

}  // namespace

void give_node_addresses() {
  auto netlink = must(loader::net::Netlink::open());
  const int loopback = must(netlink.link("lo")).ifindex;
  must(netlink.set_up(loopback));
  for (const char* text : {"192.0.2.1/32", "2001:db8::1/128"}) {
    must(netlink.add_address(loopback, must(Prefix::parse(text))));
  }
}

Container::Container() : id_(next_id()), netns_(must(loader::net::Netns::create("/run/" + id_))) {}

Container::~Container() {
  // The kernel takes its time to clear a namespace away; the next test looks at the node's interfaces.
  if (auto inside = loader::net::Netlink::open_in(netns_)) {
    for (const auto& link : inside->links().value_or({})) {
      if (link.kind == "veth") (void)inside->delete_link(link.name);
    }
  }
  (void)loader::net::Netns::destroy(path());
}

e2e::Outcome Container::exec(e2e::Command command) const {
  e2e::Outcome outcome;
  must(netns_.run([&]() -> Result<void> {
    outcome = e2e::run(command);
    return {};
  }));
  return outcome;
}

bool Container::reaches(const Address& other) const { return exec({"ping", "-c1", "-W2", other.text()}).status == 0; }

int Answer::error(const std::string& version) const {
  if (status != 1 || !object.is_object()) return 0;
  for (const char* key : {"cniVersion", "msg", "details"}) {
    if (!object.contains(key) || !object[key].is_string() || object[key].get<std::string>().empty()) return 0;
  }
  if (object["cniVersion"] != version || !object.contains("code") || !object["code"].is_number_integer()) return 0;
  return object["code"];
}

std::vector<Address> Answer::addresses() const {
  std::vector<Address> found;
  for (const auto& ip : object.at("ips"))
    found.push_back(must(Prefix::parse(ip.at("address").get<std::string>())).address);
  return found;
}

std::string plugin_path(const std::string& type) {
  const auto ours = e2e::binary(type);
  return fs::exists(ours) ? ours.string() : std::string(kPluginPath) + "/" + type;
}

e2e::Command command_line(const std::string& type, const Variables& variables) {
  const std::pair<const char*, const std::string*> all[] = {
      {"CNI_COMMAND", &variables.command}, {"CNI_CONTAINERID", &variables.container_id},
      {"CNI_NETNS", &variables.netns},     {"CNI_IFNAME", &variables.ifname},
      {"CNI_ARGS", &variables.args},       {"CNI_PATH", &variables.path}};
  // PATH: portmap looks for iptables there.
  e2e::Command command{"env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  for (const auto& [name, value] : all) {
    if (!value->empty()) command.push_back(std::string(name) + "=" + *value);
  }
  command.push_back(plugin_path(type));
  return command;
}

Answer call(const std::string& type, const Variables& variables, const std::string& input) {
  const auto outcome = e2e::run(command_line(type, variables), input);
  Answer answer{outcome.status, outcome.output, json::parse(outcome.output, nullptr, false)};
  if (answer.object.is_discarded()) answer.object = nullptr;
  return answer;
}

Host::Host(const std::vector<std::string>& blocks, int endpoints) {
  fs::create_directories(root().config_file().parent_path());
  // JSON is YAML.
  std::ofstream(root().config_file()) << json{{"podCIDRs", blocks},
                                              {"maps", {{"flows", 1024}, {"endpoints", endpoints}, {"fragments", 64}}}};
}

json Host::config(const json& extra) const {
  json config{{"cniVersion", "1.1.0"}, {"name", "pods"}, {"type", "sluice-cni"}, {"root", root().prefix().string()}};
  config.merge_patch(extra);
  return config;
}

Answer Host::call(const std::string& command, const Container& container, const json& config, const std::string& ifname,
                  const std::string& args) const {
  return test::call(config.at("type"), {command, container.id(), container.path(), ifname, args, kPluginPath},
                    config.dump());
}

json Host::after(const Answer& answer, const json& extra) const {
  json patched = config(extra);
  patched["prevResult"] = answer.object;
  return patched;
}

Answer Host::collect(const std::vector<const Container*>& valid) const {
  json pairs = json::array();
  for (const auto* container : valid) pairs.push_back({{"containerID", container->id()}, {"ifname", "eth0"}});
  return test::call("sluice-cni", {.command = "GC", .path = kPluginPath},
                    config({{"cni.dev/valid-attachments", pairs}}).dump());
}

std::string Host::remains() const {
  std::set<std::string> lines;
  for (const auto& link : must(netlink().links())) {
    if (link.name != "lo") lines.insert("interface " + link.name);
  }
  for (const char* folder : {"ipam", "attachments"}) add_files(lines, root().state() / folder);
  add_files(lines, root().pins() / "links");
  if (auto loaded = loader::program::Datapath::open(root())) {
    for (const auto& [address, endpoint] : must(loaded->endpoints())) lines.insert("endpoint " + address.text());
    for (const auto& [key, value] : must(must(maps::open<maps::Services>(root().maps())).dump()))
      lines.insert("host port " + std::to_string(key.port.to_host()) + " at " + Address(key.addr).text());
    const auto backends = must(maps::open<maps::Backends>(root().maps()));
    must(backends.each([&](std::uint32_t, const maps::backend& one) {
      if (one.service != 0) lines.insert("port behind a host port of " + Address(one.addr).text());
    }));
  }
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  return text;
}

loader::program::Datapath Host::datapath() const { return must(loader::program::Datapath::open(root())); }

}  // namespace sluice::test
