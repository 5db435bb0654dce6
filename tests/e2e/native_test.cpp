// Pods of different nodes without tunnels: by routes that the agents keep.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>

#include "loader/net/netlink.hpp"
#include "loader/program/overlay.hpp"
#include "loader/program/own_routes.hpp"
#include "maps/views.hpp"
#include "tests/e2e/cluster.hpp"
#include "tests/e2e/node_pair.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;

namespace {

/// "10.244.2.0/24 via 172.18.0.12": the routes of Sluice's own on a node, sorted; "via nobody": by the tunnel device.
std::vector<std::string> own_routes(const Place& node) {
  auto netlink = must(loader::net::Netlink::open_in(node.netns));
  std::vector<std::string> all;
  for (const auto& route : must(netlink.routes_of(loader::program::kRouteProtocol)))
    all.push_back(route.destination->text() + " via " + (route.gateway ? route.gateway->text() : "nobody"));
  std::ranges::sort(all);
  return all;
}

const std::vector<std::string> kToNode2 = {"10.244.2.0/24 via 172.18.0.12", "fd00:10:244:2::/64 via fd00:172:18::12"};

bool has_tunnel_device(const Place& node) {
  return bool(must(loader::net::Netlink::open_in(node.netns)).link(loader::program::kOverlayDevice));
}

void on_node(const Cluster& cluster, const std::string& node, const Command& command) {
  const auto done = cluster.on_node(node, command);
  REQUIRE_MESSAGE(done.status == 0, done.output);
}

bool pings(const Cluster& cluster, const std::string& pod, const Address& to, const Command& options = {}) {
  Command command{"ping", "-c1", "-W2", to.text()};
  command.insert(command.end(), options.begin(), options.end());
  return received(cluster.exec(pod, command));
}

/// What the agent says could not be done.
std::string warnings(const Cluster& cluster, const std::string& node) {
  std::ifstream file(cluster.root(node).run() / "agent.json");
  const auto status = nlohmann::json::parse(file, nullptr, false);
  std::string all;
  if (status.is_object())
    for (const auto& part : status.at("parts"))
      for (const std::string text : part.at("warnings")) all += text + "\n";
  return all;
}

/// All flows of a node leave one of their directions so.
bool flows_go(const Cluster& cluster, const std::string& node, maps::flow_delivery how) {
  bool all = true;
  for (const auto& [key, entry] : must(must(maps::open<maps::Flows>(cluster.root(node).maps())).dump()))
    all &= entry.half[0].delivery == how || entry.half[1].delivery == how;
  return all;
}

std::string isolates(const std::string& pod) {
  return "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: default, name: " + pod +
         "}, spec: {podSelector: {matchExpressions: [{key: none, operator: DoesNotExist}]}, policyTypes: [Ingress]}}\n";
}

}  // namespace

TEST_CASE("with native routing pods of different nodes talk as they are, and the whole MTU is theirs") {
  const NodePair lab("native");
  CHECK(own_routes(lab.node) == kToNode2);
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    for (const auto& [from, to] : {std::pair(&lab.here, &lab.there), std::pair(&lab.there, &lab.here)}) {
      exchange(*from, to->address(v4), kTargetPort, *to, from->address(v4));
      ask_by_udp(*from, to->address(v4), kTargetPort, *to, from->address(v4));
      CHECK(pings(lab.cluster, from->name, to->address(v4)));
      CHECK(Socket::tcp_connected(from->netns, to->address(v4), 9).failed_with(ECONNREFUSED));
      Socket closed = must(Socket::udp(from->netns, from->address(v4)));
      must(closed.connect(to->address(v4), 9));
      must(closed.send("anybody?"));
      CHECK(closed.receive().failed_with(ECONNREFUSED));  // by ICMP
    }
    const int header = v4 ? 28 : 48;
    for (const int size : {1500, 1501})
      CHECK(pings(lab.cluster, "here", lab.there.address(v4), {"-M", "do", "-s", std::to_string(size - header)}) ==
            (size == 1500));
    // Nodes and pods of others, both ways.
    exchange(lab.node, lab.there.address(v4), kTargetPort, lab.there, lab.node.address(v4));
    exchange(lab.here, lab.other_node.address(v4), kTargetPort, lab.other_node, lab.here.address(v4));
    // The world is reached under the node's address.
    exchange(lab.here, lab.world.address(v4), kTargetPort, lab.world, lab.node.address(v4));
  }
  CHECK(flows_go(lab.cluster, "node-2", maps::FLOW_TO_UPLINK));
  CHECK(!has_tunnel_device(lab.node));
}

TEST_CASE("with native routing Services have backends on other nodes, for pods, for the node and for outside clients") {
  const NodePair lab("native");
  lab.apply(balanced_yaml("Cluster") + slices_yaml({&lab.there}));
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    REQUIRE(within(5s, [&] { return lab.answers(v4); }));
    exchange(lab.here, vip(v4), kServicePort, lab.there, lab.here.address(v4));
    ask_by_udp(lab.here, vip(v4), kServicePort, lab.there, lab.here.address(v4));
    exchange(lab.world, lab.node.address(v4), kNodePort, lab.there, lab.node.address(v4));
    exchange(lab.world, balancer(v4), kServicePort, lab.there, lab.node.address(v4));
    ask_by_udp(lab.world, lab.node.address(v4), kNodePort, lab.there, lab.node.address(v4));
    // An endpoint on the node that is asked sees who asks: a pod of another node, too.
    exchange(lab.world, lab.other_node.address(v4), kNodePort, lab.there, lab.world.address(v4));
    exchange(lab.here, lab.other_node.address(v4), kNodePort, lab.there, lab.here.address(v4));
  }
}

TEST_CASE("with native routing a pod's policy judges pods of other nodes by who they are") {
  const NodePair lab("native");
  for (const bool v4 : kFamilies) CHECK(pings(lab.cluster, "here", lab.there.address(v4)));
  const Socket listener = must(Socket::tcp_listener(lab.there.netns, lab.there.address(true), kTargetPort));
  const Socket client = must(Socket::tcp_connected(lab.here.netns, lab.there.address(true), kTargetPort));
  lab.apply(isolates("there"));
  const auto denied = [&] { return lab.cluster.packets("node-2", maps::DROP_POLICY_INGRESS); };
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    CHECK(within(5s, [&] { return !pings(lab.cluster, "here", lab.there.address(v4)); }));
    CHECK(denied() > 0);
  }
  // Into a connection that was let through before, too.
  const auto before = denied();
  must(client.send("x"));
  CHECK(within(2s, [&] { return denied() > before; }));
}

TEST_CASE("routes to other nodes' pods are put back, follow the Nodes, and go with them and with Sluice") {
  NodePair lab("native");
  const auto come = [&](const std::vector<std::string>& wanted) {
    return within(5s, [&] { return own_routes(lab.node) == wanted; });
  };
  CHECK(come(kToNode2));
  // What others have made is theirs.
  on_node(lab.cluster, "node-1", {"ip", "route", "add", "10.244.9.0/24", "dev", "eth0"});
  on_node(lab.cluster, "node-1", {"ip", "route", "add", "10.244.2.0/24", "dev", "lo"});
  on_node(lab.cluster, "node-1", {"ip", "route", "del", "10.244.2.0/24", "proto", "83"});
  on_node(lab.cluster, "node-1", {"ip", "-6", "route", "del", "fd00:10:244:2::/64"});
  CHECK(own_routes(lab.node).empty());
  lab.first.signal(SIGHUP);  // it would look by itself, too, ten seconds later
  CHECK(come(kToNode2));
  const auto others = lab.cluster.on_node("node-1", {"ip", "route", "show", "proto", "boot"});
  CHECK(others.output.find("10.244.9.0/24 dev eth0") != std::string::npos);
  CHECK(others.output.find("10.244.2.0/24 dev lo") != std::string::npos);
  on_node(lab.cluster, "node-1", {"ip", "route", "del", "10.244.2.0/24", "dev", "lo"});
  CHECK(pings(lab.cluster, "here", lab.there.address(true)));

  // Another address and another pod CIDR of node-2, as its object says.
  const auto file = lab.cluster.root("node-1").objects() / "Node.node-2.json";
  auto object = nlohmann::json::parse(std::ifstream(file));
  const auto was = object.dump();
  object["status"]["addresses"][0]["address"] = "172.18.0.77";
  object["spec"]["podCIDRs"][1] = "fd00:10:244:77::/64";
  on_node(lab.cluster, "node-1", {"ip", "route", "add", "172.18.0.77", "dev", "eth0"});
  const auto write = [&](const std::string& text) {
    std::ofstream(file.string() + ".new") << text;
    std::filesystem::rename(file.string() + ".new", file);
  };
  write(object.dump());
  CHECK(come({"10.244.2.0/24 via 172.18.0.77", "fd00:10:244:77::/64 via fd00:172:18::12"}));
  write(was);
  CHECK(come(kToNode2));
  for (const bool v4 : kFamilies) CHECK(pings(lab.cluster, "here", lab.there.address(v4)));

  const TextFile node_2(mode_node_yaml(2, "native"));
  lab.second.stop(SIGTERM);
  const auto deleted = lab.cluster.lab({"delete", node_2.path()});
  REQUIRE_MESSAGE(deleted.status == 0, deleted.output);
  CHECK(come({}));
  const auto back = lab.cluster.lab({"apply", node_2.path()});
  REQUIRE_MESSAGE(back.status == 0, back.output);
  CHECK(come(kToNode2));
  lab.first.stop(SIGTERM);
  on_node(lab.cluster, "node-1", {binary("sluiced").string(), "remove"});
  CHECK(own_routes(lab.node).empty());
}

TEST_CASE("a node that is on no link is named, and reached where somebody else knows the way") {
  NodePair lab("native");
  for (const char* family : {"-4", "-6"}) {
    const bool v4 = family[1] == '4';
    on_node(lab.cluster, "node-1", {"ip", family, "route", "del", lab.other_node.address(v4).text(), "dev", "eth0"});
  }
  lab.first.signal(SIGHUP);
  CHECK(within(5s, [&] { return !warnings(lab.cluster, "node-1").empty(); }));
  CHECK(own_routes(lab.node).empty());
  const std::string said = warnings(lab.cluster, "node-1");
  CHECK_MESSAGE(said.find("Node node-2 (172.18.0.12) is not on a link of this node") != std::string::npos, said);
  CHECK(said.find("Node node-2 (fd00:172:18::12) is not on a link of this node") != std::string::npos);
  const auto shown = lab.cluster.on_node("node-1", {binary("bpfctl").string(), "status"});
  CHECK_MESSAGE(shown.output.find("Node node-2 (172.18.0.12)") != std::string::npos, shown.output);

  // The network's router, which has the node's default route, learns the way.
  CHECK(!pings(lab.cluster, "here", lab.there.address(true)));
  for (const bool v4 : kFamilies) {
    const auto learned =
        lab.cluster.lab({"world", "--", "ip", "route", "add", v4 ? "10.244.2.0/24" : "fd00:10:244:2::/64", "via",
                         lab.other_node.address(v4).text(), "dev", "underlay", "onlink"});
    REQUIRE_MESSAGE(learned.status == 0, learned.output);
    CHECK(pings(lab.cluster, "here", lab.there.address(v4)));
    exchange(lab.here, lab.there.address(v4), kTargetPort, lab.there, lab.here.address(v4));
  }
}

TEST_CASE("mixed: nodes on one link need no tunnel, the others have one") {
  const Cluster cluster(mode_node_yaml(1, "mixed") + mode_node_yaml(2, "mixed") + mode_node_yaml(3, "mixed") +
                        pod_yaml("here", "node-1") + pod_yaml("there", "node-2") + pod_yaml("far", "node-3"));
  // node-3 is in a network of its own, behind the router.
  for (const char* far : {"node-1", "node-2"}) {
    for (const bool v4 : kFamilies) {
      const auto del = [&](const std::string& node, const std::string& to) {
        on_node(cluster, node,
                {"ip", v4 ? "-4" : "-6", "route", "del", cluster.node(to).address(v4).text(), "dev", "eth0"});
      };
      del(far, "node-3");
      del("node-3", far);
    }
  }
  const Agent first(cluster, "node-1"), second(cluster, "node-2"), third(cluster, "node-3");
  const Place here = cluster.pod("here"), there = cluster.pod("there"), far = cluster.pod("far");
  CHECK(own_routes(cluster.node("node-1")) ==
        std::vector<std::string>{"10.244.2.0/24 via 172.18.0.12", "10.244.3.0/24 via nobody",
                                 "fd00:10:244:2::/64 via fd00:172:18::12", "fd00:10:244:3::/64 via nobody"});
  CHECK(own_routes(cluster.node("node-3")) ==
        std::vector<std::string>{"10.244.1.0/24 via nobody", "10.244.2.0/24 via nobody",
                                 "fd00:10:244:1::/64 via nobody", "fd00:10:244:2::/64 via nobody"});
  CHECK(warnings(cluster, "node-1").empty());
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    for (const auto& [from, to] : {std::pair(&here, &there), std::pair(&here, &far), std::pair(&far, &here)}) {
      exchange(*from, to->address(v4), kTargetPort, *to, from->address(v4));
      ask_by_udp(*from, to->address(v4), kTargetPort, *to, from->address(v4));
      CHECK(pings(cluster, from->name, to->address(v4)));
    }
    CHECK(pings(cluster, "there", far.address(v4)));
  }
  CHECK(flows_go(cluster, "node-3", maps::FLOW_TO_TUNNEL));
  for (const auto& [key, entry] : must(must(maps::open<maps::Flows>(cluster.root("node-1").maps())).dump())) {
    const Address ends[] = {Address(key.addr[0]), Address(key.addr[1])};
    const bool distant = ends[0] == far.address(ends[0].is_v4()) || ends[1] == far.address(ends[0].is_v4());
    const auto how = distant ? maps::FLOW_TO_TUNNEL : maps::FLOW_TO_UPLINK;
    CHECK((entry.half[0].delivery == how || entry.half[1].delivery == how));
  }
}
