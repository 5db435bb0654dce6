// BGP by BIRD: what the agents tell it, and what a router of another make of configuration hears.
#include <doctest/doctest.h>
#include <signal.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "loader/net/netlink.hpp"
#include "maps/views.hpp"
#include "tests/e2e/agent.hpp"
#include "tests/e2e/cluster.hpp"
#include "tests/e2e/node_pair.hpp"
#include "tests/e2e/service_world.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;

namespace {

constexpr int kRoutesOfBird = 12;  // RTPROT_BIRD

/// The router at the top of the rack, its own autonomous system, in the world of the lab.
const char* const kRouter = R"(
router id 172.18.0.1;
protocol device { scan time 1; }
protocol bfd { interface "*" { interval 100 ms; }; }
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; merge paths on; }
protocol kernel { ipv6 { import none; export where source = RTS_BGP; }; merge paths on; }
template bgp node { local as 64513; password "swordfish"; bfd on; connect delay time 1; }
protocol bgp node_1_v4 from node { neighbor 172.18.0.11 as 64512; ipv4 { import all; export all; next hop self; }; }
protocol bgp node_2_v4 from node { neighbor 172.18.0.12 as 64512; ipv4 { import all; export all; next hop self; }; }
protocol bgp node_1_v6 from node { neighbor fd00:172:18::11 as 64512; ipv6 { import all; export all; next hop self; }; }
protocol bgp node_2_v6 from node { neighbor fd00:172:18::12 as 64512; ipv6 { import all; export all; next hop self; }; }
)";

Address router(bool v4) { return must(Address::parse(v4 ? "172.18.0.1" : "fd00:172:18::1")); }

std::string node(int number) {
  return config_node_yaml(number,
                          R"({"mode": "native", "bgp": {"asn": 64512, "peers": [)"
                          R"({"address": "172.18.0.1", "asn": 64513, "password": "swordfish", "bfd": true},)"
                          R"({"address": "fd00:172:18::1", "asn": 64513, "password": "swordfish", "bfd": true}]}})");
}

/// Two nodes that are not on one link for each other, with BIRD on them and on the router between.
struct Rack {
  Rack() {
    for (const std::string name : {"node-1", "node-2"}) {
      // A network that BIRD sees its peer in, and no route by it.
      const std::string host = name == "node-1" ? "11" : "12", other = name == "node-1" ? "12" : "11";
      need(cluster.on_node(
          name, {"sh", "-ec",
                 "ip addr add 172.18.0." + host + "/24 dev eth0 noprefixroute; ip addr del fd00:172:18::" + host +
                     "/128 dev eth0; ip addr add fd00:172:18::" + host +
                     "/64 dev eth0 noprefixroute nodad; ip route del 172.18.0." + other +
                     " dev eth0; ip -6 route del fd00:172:18::" + other +
                     " dev eth0; "
                     "ip route add 172.18.0.1 dev eth0; ip -6 route add fd00:172:18::1 dev eth0"}));
      const auto root = cluster.root(name);
      std::filesystem::create_directories(socket_of(root).parent_path());
      std::ofstream(root.run() / "own.conf") << "include \"" << (root.state() / "bird.conf").string() << "\";\n";
    }
    need(cluster.lab({"world", "--", "sh", "-ec",
                      "ip addr add 172.18.0.1/24 dev underlay noprefixroute; ip addr add fd00:172:18::1/64 dev "
                      "underlay noprefixroute nodad"}));
    router.emplace(Command{binary("sluice-lab").string(), "--name", cluster.name(), "world", "--", "bird", "-f", "-c",
                           router_file.path(), "-s", router_socket()});
  }

  static void need(const Outcome& outcome) { REQUIRE_MESSAGE(outcome.status == 0, outcome.output); }
  static std::filesystem::path socket_of(const loader::Root& root) { return root.prefix() / "run/bird/bird.ctl"; }
  [[nodiscard]] std::string router_socket() const { return cluster.root("node-1").prefix() / "run/router.ctl"; }

  void start_bird(const std::string& name) {
    const auto root = cluster.root(name);
    birds[name].emplace(Command{binary("sluice-lab").string(), "--name", cluster.name(), "node", name, "--", "bird",
                                "-f", "-c", (root.run() / "own.conf").string(), "-s", socket_of(root).string()});
  }

  void apply(const std::string& yaml) const {
    const TextFile file(yaml);
    need(cluster.lab({"apply", file.path()}));
  }

  /// What bpfctl says; null: it could not ask.
  [[nodiscard]] nlohmann::json bgp(const std::string& name) const {
    const auto said = run({binary("bpfctl").string(), "--root", cluster.root(name).prefix(), "bgp", "-o", "json"});
    return said.status == 0 ? nlohmann::json::parse(said.output) : nlohmann::json();
  }
  [[nodiscard]] bool established(const std::string& name) const {
    const auto said = bgp(name);
    if (!said.is_object() || said.at("peers").size() != 2) return false;
    for (const auto& peer : said.at("peers"))
      if (peer.at("state") != "Established") return false;
    return true;
  }
  /// Next hops of the router's own routes to a block, in order.
  [[nodiscard]] std::string router_ways(const std::string& block) const {
    const auto shown =
        cluster.lab({"world", "--", "sh", "-c",
                     "ip -o " + std::string(block.find(':') != std::string::npos ? "-6" : "-4") +
                         " route show proto bird " + block + " | grep -o 'via [^ ]*' | sort | cut -c5- | xargs"});
    return shown.output.substr(0, shown.output.find('\n'));
  }

  Cluster cluster{node(1) + node(2) + pod_yaml("here", "node-1") + pod_yaml("there", "node-2")};
  TextFile router_file{kRouter, ".conf"};
  std::optional<Process> router;
  std::map<std::string, std::optional<Process>> birds;
};

}  // namespace

TEST_CASE(
    "pod CIDRs are announced and learned by BGP, and pods talk by what was learned; Services go where endpoints are") {
  Rack rack;
  Agent first(rack.cluster, "node-1"), second(rack.cluster, "node-2");
  for (const char* name : {"node-1", "node-2"}) rack.start_bird(name);  // who has its configuration by now
  const Place here = rack.cluster.pod("here"), there = rack.cluster.pod("there"), world = rack.cluster.world();
  for (const char* name : {"node-1", "node-2"}) REQUIRE(within(40s, [&] { return rack.established(name); }));
  REQUIRE(within(20s, [&] { return rack.router_ways("10.244.2.0/24") == "172.18.0.12"; }));
  CHECK(rack.router_ways("10.244.1.0/24") == "172.18.0.11");
  REQUIRE(within(20s, [&] { return rack.router_ways("fd00:10:244:2::/64") == "fd00:172:18::12"; }));
  const auto said = rack.bgp("node-1");
  CHECK(said.at("announced") == nlohmann::json({"10.244.1.0/24", "fd00:10:244:1::/64"}));
  CHECK(said.at("peers")[0].at("asn") == 64513);

  const auto learned = [&](const Place& place) {
    auto netlink = must(loader::net::Netlink::open_in(place.netns));
    return must(netlink.routes_of(kRoutesOfBird)).size();
  };
  for (const char* name : {"node-1", "node-2"})
    CHECK(within(20s, [&] { return learned(rack.cluster.node(name)) == 2; }));  // the other's blocks
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    exchange(here, there.address(v4), kTargetPort, there, here.address(v4));
    exchange(there, here.address(v4), kTargetPort, here, there.address(v4));
    exchange(world, there.address(v4), kTargetPort, there, router(v4));  // the router knows the way, too
  }
  for (const auto& [key, entry] : must(must(maps::open<maps::Flows>(rack.cluster.root("node-1").maps())).dump()))
    CHECK((entry.half[0].delivery == maps::FLOW_TO_UPLINK || entry.half[1].delivery == maps::FLOW_TO_UPLINK));

  // A Service of outside clients, whose address is announced where they find an endpoint.
  const auto ways = [&](const std::string& v4, const std::string& v6) {
    return within(10s,
                  [&] { return rack.router_ways("203.0.113.10") == v4 && rack.router_ways("2001:db8:50::10") == v6; });
  };
  rack.apply(balanced_yaml("Local") + slices_yaml({&here}));
  CHECK(ways("172.18.0.11", "fd00:172:18::11"));
  for (const bool v4 : kFamilies)
    exchange(world, balancer(v4), kServicePort, here, v4 ? router(v4) : world.address(v4));  // RFC 6724, rule 8
  rack.apply(slices_yaml({&there}));
  CHECK(ways("172.18.0.12", "fd00:172:18::12"));
  rack.apply(slices_yaml({}));
  CHECK(ways("", ""));
  rack.apply(balanced_yaml("Cluster") + slices_yaml({&there}));
  CHECK(ways("172.18.0.11 172.18.0.12", "fd00:172:18::11 fd00:172:18::12"));

  // What has not changed is not told again; BIRD that comes back reads it by itself.
  const auto reconfigured = [&] {
    const auto shown = run({"birdc", "-s", Rack::socket_of(rack.cluster.root("node-1")), "show", "status"}).output;
    return shown.substr(shown.find("Last reconfiguration"));
  };
  const auto before = reconfigured();
  first.restart(SIGTERM);
  CHECK(reconfigured() == before);
  rack.birds.at("node-1").reset();
  CHECK(within(20s, [&] { return rack.router_ways("10.244.1.0/24").empty(); }));  // by BFD, long before BGP's hold time
  rack.start_bird("node-1");
  CHECK(within(40s, [&] { return rack.router_ways("10.244.1.0/24") == "172.18.0.11"; }));
}
