#include "loader/config.hpp"

#include <doctest/doctest.h>
#include <yaml-cpp/yaml.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

using namespace sluice;          // NOLINT(google-build-using-namespace)
using namespace sluice::loader;  // NOLINT(google-build-using-namespace)

namespace {

/// What `yaml` is refused with; empty: it is taken.
std::string refusal(const std::string& yaml) {
  auto config = NodeConfig::parse(yaml, "sluice.yaml");
  return config ? "" : config.error().message;
}

std::string source_file(const std::string& name) {
  std::ifstream file(SLUICE_SOURCE_DIR "/" + name);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The keys of a configuration, those of a mapping in it as "timeouts.icmp".
std::set<std::string> keys_of(const YAML::Node& mapping, const std::string& before = "") {
  std::set<std::string> keys;
  for (const auto& entry : mapping) {
    const std::string key = before + entry.first.Scalar();
    if (entry.second.IsMap())
      keys.merge(keys_of(entry.second, key + "."));
    else
      keys.insert(key);
  }
  return keys;
}

/// The configuration that the table of README.md gives as the default: its rows are "| `timeouts.icmp` | `30s` | ...".
YAML::Node table_of_readme() {
  const std::string readme = source_file("README.md");
  const auto begin = readme.find("## Configuration of the node");
  REQUIRE(begin != std::string::npos);
  const std::string section = readme.substr(begin, readme.find("\n## ", begin) - begin);
  static const std::regex kRow(R"(\| `(?:(\w+)\.)?(\w+)` \| `([^`]+)` \|)");
  YAML::Node table(YAML::NodeType::Map);
  for (std::sregex_iterator row(section.begin(), section.end(), kRow), end; row != end; ++row) {
    const YAML::Node value = YAML::Load((*row)[3]);
    if ((*row)[1].matched)
      table[(*row)[1].str()][(*row)[2].str()] = value;
    else
      table[(*row)[2].str()] = value;
  }
  return table;
}

}  // namespace

TEST_CASE("an empty configuration has the defaults") {
  for (const char* yaml : {"", "# nothing\n", "{}\n"}) {
    CAPTURE(yaml);
    auto config = NodeConfig::parse(yaml, "sluice.yaml");
    REQUIRE(config);
    CHECK(config->maps.flows == 262144);
    CHECK(config->timeouts.tcp_established == std::chrono::hours(24));
    CHECK(config->pod_attach == AttachMode::kAuto);
    CHECK(config->forwarding);
    CHECK(config->socket_balancing);
  }
}

TEST_CASE("the example that is installed has the defaults") {
  auto config = NodeConfig::parse(source_file("packaging/sluice.yaml"), "packaging/sluice.yaml");
  REQUIRE_MESSAGE(config, config.error().message);
  CHECK(*config == NodeConfig{});
}

TEST_CASE("the table of README.md has the keys of the example and the defaults") {
  const YAML::Node table = table_of_readme();
  const auto documented = keys_of(table), there = keys_of(YAML::Load(source_file("packaging/sluice.yaml")));
  for (const auto& key : there) CHECK_MESSAGE(documented.contains(key), "README.md lacks " << key);
  for (const auto& key : documented) CHECK_MESSAGE(there.contains(key), "packaging/sluice.yaml lacks " << key);
  auto config = NodeConfig::parse(YAML::Dump(table), "README.md");
  REQUIRE_MESSAGE(config, config.error().message);
  CHECK(*config == NodeConfig{});
}

TEST_CASE("every key of the configuration is read") {
  auto config = NodeConfig::parse(R"(
nodeName: worker-1
nodeAddresses: [192.168.50.1, "fd50::1"]
podCIDRs: [10.244.1.0/24, "fd00:1::/64"]
mode: overlay
vni: 7
tunnelPort: 4789
uplinks: [eth0, eth1]
xdp: native
loadBalancerMode: dsr
masquerade: true
nonMasqueradeCIDRs: [10.0.0.0/8]
mtu: 1450
podAttach: tcx
forwarding: false
metricsAddress: ""
healthAddress: 192.168.50.1:80
policy: {audit: true, reject: true}
algorithm: maglev
socketBalancing: false
cgroup: /sys/fs/cgroup/machine
bgp: {asn: 4200000000, routerID: 192.0.2.9, peers: [{address: fd50::fe, asn: 64513, port: 1179, password: swordfish, bfd: true}]}
timeouts: {tcpOpening: 1s, tcpEstablished: 1h30m, tcpClosing: 3s, tcpClosed: 4s, udpOpening: 5s, udpEstablished: 6m, icmp: 7s, other: 8s}
maps: {flows: 1024, endpoints: 2048, fragments: 4096, ipcache: 21, policies: 22, policyPorts: 23, peers: 24, services: 25,
       backendSlots: 26, backends: 27, sourceRanges: 28, affinity: 29, nodes: 30, sockets: 31, denied: 32}
)",
                                  "sluice.yaml");
  REQUIRE_MESSAGE(config, config.error().message);
  CHECK(config->node_name == "worker-1");
  REQUIRE(config->node_addresses.size() == 2);
  CHECK(config->node_addresses[1].text() == "fd50::1");
  REQUIRE(config->pod_cidrs.size() == 2);
  CHECK(config->pod_cidrs[0].text() == "10.244.1.0/24");
  CHECK(config->mode == Mode::kOverlay);
  CHECK(config->vni == 7);
  CHECK(config->tunnel_port == 4789);
  CHECK(config->uplinks == std::vector<std::string>{"eth0", "eth1"});
  CHECK(config->xdp == Xdp::kNative);
  CHECK(config->load_balancer_mode == LoadBalancerMode::kDsr);
  CHECK(config->masquerade == true);
  REQUIRE(config->non_masquerade_cidrs.size() == 1);
  CHECK(config->non_masquerade_cidrs[0].text() == "10.0.0.0/8");
  CHECK(config->mtu == 1450);
  CHECK(config->pod_attach == AttachMode::kTcx);
  CHECK(!config->forwarding);
  CHECK(!config->metrics_address);
  REQUIRE(config->health_address);
  CHECK(config->health_address->text() == "192.168.50.1:80");
  CHECK(config->policy == PolicyMode{.audit = true, .reject = true});
  CHECK(config->algorithm == Algorithm::kMaglev);
  CHECK(!config->socket_balancing);
  CHECK(config->cgroup == "/sys/fs/cgroup/machine");
  REQUIRE(config->bgp);
  CHECK(config->bgp->asn == 4200000000);
  CHECK(config->bgp->router_id->text() == "192.0.2.9");
  CHECK(config->bgp->peers == std::vector<BgpPeer>{{*Address::parse("fd50::fe"), 64513, 1179, "swordfish", true}});
  using std::chrono::seconds;
  CHECK(config->timeouts.tcp_opening == seconds(1));
  CHECK(config->timeouts.tcp_established == seconds(5400));
  CHECK(config->timeouts.tcp_closing == seconds(3));
  CHECK(config->timeouts.tcp_closed == seconds(4));
  CHECK(config->timeouts.udp_opening == seconds(5));
  CHECK(config->timeouts.udp_established == seconds(360));
  CHECK(config->timeouts.icmp == seconds(7));
  CHECK(config->timeouts.other == seconds(8));
  CHECK(config->maps == MapSizes{.flows = 1024,
                                 .endpoints = 2048,
                                 .fragments = 4096,
                                 .ipcache = 21,
                                 .nodes = 30,
                                 .policies = 22,
                                 .policy_ports = 23,
                                 .peers = 24,
                                 .services = 25,
                                 .backend_slots = 26,
                                 .backends = 27,
                                 .source_ranges = 28,
                                 .affinity = 29,
                                 .denied = 32,
                                 .sockets = 31});
}

TEST_CASE("pods go out under the node's address where the configuration says so, else in every mode but none") {
  const struct {
    const char* yaml;
    bool masquerades;
  } rows[] = {{"", false},
              {"mode: overlay\n", true},
              {"masquerade: auto\nmode: overlay\n", true},
              {"mode: native\n", true},
              {"mode: mixed\n", true},
              {"masquerade: false\nmode: overlay\n", false},
              {"masquerade: true\n", true}};
  for (const auto& row : rows) {
    CAPTURE(row.yaml);
    const auto config = NodeConfig::parse(row.yaml, "sluice.yaml");
    REQUIRE(config);
    CHECK(config->masquerades() == row.masquerades);
  }
}

// A list of 33 blocks: the words of a table are literals.
#define EIGHT(n)                                                                                         \
  "1." n ".0.0/16, 2." n ".0.0/16, 3." n ".0.0/16, 4." n ".0.0/16, 5." n ".0.0/16, 6." n ".0.0/16, 7." n \
  ".0.0/16, 8." n ".0.0/16, "

TEST_CASE("a wrong configuration is refused with the place of what is wrong") {
  const struct {
    const char* yaml;
    const char* words;
  } rows[] = {
      {"nodename: a\n", "sluice.yaml: line 1: nodename is not known here"},
      {"\ntimeouts:\n  tcp: 5s\n", "sluice.yaml: line 3: tcp is not known here"},
      {"loadBalancerMode: fast\n", "line 1: loadBalancerMode must be snat or dsr, not \"fast\""},
      {"loadBalancerMode: dsr\n", "sluice.yaml: loadBalancerMode: dsr needs tunnels"},
      {"xdp: on\n", "line 1: xdp must be off, auto, native or generic, not \"on\""},
      {"policy: {audit: maybe}\n", "line 1: audit must be true or false"},
      {"policy: true\n", "policy must be a mapping"},
      {"algorithm: best\n", "algorithm must be random or maglev, not \"best\""},
      {"timeouts: {icmp: 5}\n", "line 1: icmp must be a duration"},
      {"timeouts: {icmp: 0s}\n", "must be a duration of at least one second"},
      {"timeouts: {icmp: -5s}\n", "must be a duration"},
      {"timeouts: {icmp: 99999999999999999999s}\n", "must be a duration"},
      {"timeouts: [1]\n", "timeouts must be a mapping"},
      {"healthAddress: [::]:80\n", "yaml-cpp"},
      {"healthAddress: '[::]'\n", "line 1: healthAddress '[::]' is not an address and port such as"},
      {"healthAddress: '::1:80'\n", "is not an address and port"},
      {"healthAddress: '[127.0.0.1]:80'\n", "is not an address and port"},
      {"metricsAddress: 127.0.0.1:0\n", "is not an address and port"},
      {"metricsAddress: 127.0.0.1:80x\n", "is not an address and port"},
      {"mtu: many\n", "line 1: mtu must be a number from 0 to 65535, not \"many\""},
      {"mtu: 1200\n", "mtu must be 0 (found out) or at least 1280"},
      {"mtu: 70000\n", "mtu must be a number"},
      {"maps: {flows: 3}\n", "flows must be a number from 16"},
      {"maps: {flows: -1}\n", "flows must be a number from 16"},
      {"mode: vxlan\n", "mode must be none, overlay, native or mixed"},
      {"vni: 16777216\n", "vni must be a number from 1 to 16777215"},
      {"tunnelPort: 0\n", "tunnelPort must be a number from 1 to 65535"},
      {"forwarding: perhaps\n", "forwarding must be true or false"},
      {"socketBalancing: auto\n", "socketBalancing must be true or false"},
      {"cgroup: sys/fs/cgroup\n", "cgroup must be a path from / on, not \"sys/fs/cgroup\""},
      {"podAttach: xdp\n", "podAttach must be auto, tcx or clsact"},
      {"podCIDRs: 10.0.0.0/24\n", "podCIDRs must be a list"},
      {"podCIDRs: [10.0.0.0/33]\n", "line 1: podCIDRs"},
      {"nodeAddresses: [[1]]\n", "nodeAddresses must be a single value"},
      {"uplinks: eth0\n", "uplinks must be auto, or a list of interfaces"},
      {"masquerade: maybe\n", "masquerade must be auto, true or false"},
      {"nonMasqueradeCIDRs: [" EIGHT("0") EIGHT("1") EIGHT("2") EIGHT("3") "10.0.0.0/8]\n",
       "nonMasqueradeCIDRs and podCIDRs have more than 32 blocks"},
      {"bgp: {asn: 64512}\n", "line 1: bgp must have an asn and peers"},
      {"bgp: on\n", "bgp must be a mapping"},
      {"bgp: {asn: 0, peers: []}\n", "asn must be a number from 1 to 4294967295"},
      {"bgp: {asn: 1, peers: []}\n", "peers must be a list of peers"},
      {"bgp: {asn: 1, peers: [{asn: 2}]}\n", "peers must each have an address and an asn"},
      {"bgp: {asn: 1, peers: [{address: router, asn: 2}]}\n", "address"},
      {"bgp: {asn: 1, peers: [{address: 192.0.2.1, asn: 2, password: 'a\"b'}]}\n", "password must have no quotes"},
      {"bgp: {asn: 1, routerID: \"fd00::1\", peers: []}\n", "routerID must be written as an IPv4 address"},
      {"- a\n- b\n", "sluice.yaml: must be a mapping"},
      {"just words\n", "sluice.yaml: must be a mapping"},
      {"a: [1\n", "sluice.yaml: yaml-cpp: error"},
      {"a: \x01\n", "sluice.yaml:"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.yaml);
    const std::string found = refusal(row.yaml);
    CAPTURE(found);
    CHECK(found.find(row.words) != std::string::npos);
  }
}

TEST_CASE("a node without a configuration file runs on the defaults, one with an unreadable file does not run") {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "sluice-config-test";
  std::filesystem::remove_all(folder);
  const Root root(folder);
  CHECK(NodeConfig::read(root));
  std::filesystem::create_directories(root.config_file().parent_path());
  std::ofstream(root.config_file()).close();
  CHECK(NodeConfig::read(root));
  std::filesystem::remove(root.config_file());
  std::filesystem::create_directories(root.config_file());  // a folder where the file should be
  CHECK(!NodeConfig::read(root));
  std::filesystem::remove_all(folder);
}
