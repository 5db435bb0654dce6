// What happens to what policy denies: audit and reject, by configuration, by namespace and by pod, as sockets see it.
#include <doctest/doctest.h>
#include <signal.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>

#include "loader/observe/metrics.hpp"
#include "tests/e2e/agent.hpp"
#include "tests/e2e/cluster.hpp"
#include "tests/e2e/socket.hpp"

using namespace sluice;
using namespace sluice::e2e;

namespace {

constexpr bool kFamilies[] = {true, false};
constexpr std::chrono::seconds kSoon{5};
constexpr std::uint16_t kPort = 8080;

std::string annotated_pod(const std::string& name, const std::string& node, const std::string& annotations = "{}") {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", labels: {app: " + name +
         "}, annotations: " + annotations + "}\nspec: {nodeName: " + node + ", containers: [{name: c}]}\n";
}

std::string annotated_namespace(const std::string& annotations) {
  return "---\n{apiVersion: v1, kind: Namespace, metadata: {name: default, annotations: " + annotations + "}}\n";
}

std::string isolates(const std::string& app, const std::string& direction) {
  return "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: default, name: " + app +
         "}, spec: {podSelector: {matchLabels: {app: " + app + "}}, policyTypes: [" + direction + "]}}\n";
}

/// client and web on node-1, far on node-2.
struct World {
  Cluster cluster{overlay_node_yaml(1, true) + overlay_node_yaml(2, true) + annotated_pod("client", "node-1") +
                  annotated_pod("web", "node-1") + annotated_pod("far", "node-2")};
  Place client = cluster.pod("client"), web = cluster.pod("web"), far = cluster.pod("far"),
        outside = cluster.node("node-2");
  Agent agent{cluster, "node-1"}, other_agent{cluster, "node-2"};

  void apply(const std::string& yaml) const {
    const TextFile file(yaml);
    const auto outcome = cluster.lab({"apply", file.path()});
    REQUIRE_MESSAGE(outcome.status == 0, outcome.output);
  }

  /// What a datagram's way to web ends in: 0 it arrives; the errno that its sender is told; ETIMEDOUT silence.
  [[nodiscard]] int send_udp(const Place& from, bool v4) const {
    const Socket server = must(Socket::udp(web.netns, web.address(v4), kPort));
    Socket sender = must(Socket::udp(from.netns, from.address(v4)));
    must(sender.connect(web.address(v4), kPort));
    must(sender.send("x"));
    for (int i = 0; i < 40; i++) {
      if (server.receive_now()) return 0;
      if (const auto told = sender.receive_now(); !told && told.error().code != EAGAIN) return told.error().code;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return ETIMEDOUT;
  }
  /// The same of a TCP connection.
  [[nodiscard]] int connect_tcp(const Place& from, bool v4) const {
    const Socket listener = must(Socket::tcp_listener(web.netns, web.address(v4), kPort));
    const auto connected = Socket::tcp_connected(from.netns, web.address(v4), kPort);
    return connected ? 0 : connected.error().code;
  }
};

/// RFC 1812, 5.2.7.1 and RFC 4443, 3.1, as Linux tells them.
int prohibited(bool v4) { return v4 ? EHOSTUNREACH : EACCES; }

}  // namespace

TEST_CASE("audit lets through what policy denies, where the node, a namespace or a pod says so") {
  World world;
  const auto audited = [&] {
    return must(loader::observe::counters(world.cluster.root("node-1"))).at(maps::COUNTER_POLICY_AUDITED).value;
  };
  const auto denied = [&] { return world.send_udp(world.client, true) == ETIMEDOUT; };
  const auto let_through = [&] { return world.send_udp(world.client, true) == 0; };
  world.apply(isolates("web", "Ingress"));
  REQUIRE(within(kSoon, denied));
  CHECK(audited() == 0);

  const std::string audit = "{sluice.dev/policy-audit: \"true\"}", no_audit = "{sluice.dev/policy-audit: \"false\"}";
  world.apply(annotated_pod("web", "node-1", audit));
  CHECK(within(kSoon, let_through));
  CHECK(world.send_udp(world.client, false) == 0);
  CHECK(world.send_udp(world.far, true) == 0);
  CHECK(audited() >= 3);
  world.apply(annotated_namespace(no_audit));
  CHECK(let_through());  // the pod's word comes before its namespace's
  world.apply(annotated_pod("web", "node-1"));
  CHECK(within(kSoon, denied));
  world.apply(annotated_namespace(audit));
  CHECK(within(kSoon, let_through));
  world.apply(annotated_namespace("{}"));
  CHECK(within(kSoon, denied));
  const auto file = world.cluster.root("node-1").config_file();
  auto config = nlohmann::json::parse(std::ifstream(file));
  config["policy"] = {{"audit", true}};
  std::ofstream(file) << config;
  world.agent.signal(SIGHUP);
  CHECK(within(kSoon, let_through));
  world.apply(annotated_pod("web", "node-1", no_audit));
  CHECK(within(kSoon, denied));
}

TEST_CASE("reject tells whoever is denied, from a pod of the node, of another node, or from outside") {
  const World world;
  // The node beside, without a tunnel, as a client from outside.
  for (const bool v4 : kFamilies) {
    const std::string via = v4 ? "172.18.0.11" : "fd00:172:18::11";
    const auto routed = world.cluster.on_node(
        "node-2", {"ip", v4 ? "-4" : "-6", "route", "add", world.web.address(v4).text(), "via", via});
    REQUIRE_MESSAGE(routed.status == 0, routed.output);
  }
  const Place* const senders[] = {&world.client, &world.far, &world.outside};
  for (const Place* from : senders)
    for (const bool v4 : kFamilies) CHECK(within(kSoon, [&] { return world.send_udp(*from, v4) == 0; }));
  world.apply(annotated_pod("web", "node-1", "{sluice.dev/policy-reject: \"true\"}") + isolates("web", "Ingress"));
  REQUIRE(within(kSoon, [&] { return world.send_udp(world.client, true) == prohibited(true); }));
  for (const Place* from : senders)
    for (const bool v4 : kFamilies) {
      CAPTURE(from->name);
      CAPTURE(v4);
      CHECK(world.send_udp(*from, v4) == prohibited(v4));
      CHECK(world.connect_tcp(*from, v4) == ECONNREFUSED);
      CHECK(world.connect_tcp(*from, v4) == ECONNREFUSED);  // what was answered has opened no way in
    }
}

TEST_CASE("reject tells a pod that may not send") {
  const World world;
  world.apply(annotated_namespace("{sluice.dev/policy-reject: \"true\"}") + isolates("client", "Egress") +
              isolates("far", "Egress"));
  for (const Place* from : {&world.client, &world.far})
    for (const bool v4 : kFamilies) {
      CAPTURE(from->name);
      CAPTURE(v4);
      CHECK(within(kSoon, [&] { return world.send_udp(*from, v4) == prohibited(v4); }));
      CHECK(world.connect_tcp(*from, v4) == ECONNREFUSED);
    }
}
