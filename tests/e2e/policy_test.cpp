// Policy from objects to sockets: isolation, labels, the next packet, blocks, and pods that come while nobody looks.
#include <doctest/doctest.h>
#include <signal.h>

#include "tests/e2e/agent.hpp"
#include "tests/e2e/cluster.hpp"
#include "tests/e2e/socket.hpp"

using namespace sluice;
using namespace sluice::e2e;

namespace {

constexpr bool kFamilies[] = {true, false};
constexpr std::chrono::seconds kSoon{5};

std::string labelled_pod(const std::string& name, const std::string& label) {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", labels: {app: " + label +
         "}}\nspec: {nodeName: node-1, containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}\n";
}

std::string policy(const std::string& name, const std::string& spec) {
  return "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " + name +
         ", namespace: default}\nspec: " + spec + "\n";
}

struct World {
  Cluster cluster{node_yaml(1) + labelled_pod("client", "client") + labelled_pod("other", "other") +
                  labelled_pod("web", "web")};
  Place client = cluster.pod("client"), other = cluster.pod("other"), web = cluster.pod("web"),
        node = cluster.node("node-1");
  Agent agent{cluster, "node-1"};

  void apply(const std::string& yaml) const { change("apply", yaml); }
  void remove(const std::string& yaml) const { change("delete", yaml); }

  /// A datagram from `from` arrives at web's port.
  [[nodiscard]] bool reaches(const Place& from, bool v4, std::uint16_t port = 8080) const {
    const Socket server = must(Socket::udp(web.netns, web.address(v4), port));
    const Socket sender = must(Socket::udp(from.netns, from.address(v4)));
    must(sender.send_to("x", web.address(v4), port));
    for (int i = 0; i < 20; i++) {
      if (server.receive_now()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

 private:
  void change(const char* verb, const std::string& yaml) const {
    const TextFile file(yaml);
    const auto outcome = cluster.lab({verb, file.path()});
    REQUIRE_MESSAGE(outcome.status == 0, outcome.output);
  }
};

}  // namespace

TEST_CASE("an isolated pod is reached by those that its policy selects, by its node, and by nobody else") {
  const World world;
  const std::string only_client =
      policy("web",
             "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], "
             "ports: [{protocol: UDP, port: 8080}]}]}");
  for (const bool v4 : kFamilies) CHECK(world.reaches(world.other, v4));
  world.apply(only_client);
  CHECK(within(kSoon, [&] { return !world.reaches(world.other, true); }));
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    CHECK(world.reaches(world.client, v4));
    CHECK(!world.reaches(world.other, v4));
    CHECK(!world.reaches(world.client, v4, 8081));
    CHECK(world.reaches(world.node, v4));
  }
  CHECK(world.cluster.packets("node-1", maps::DROP_POLICY_INGRESS) > 0);
  // A label is all that it takes.
  world.apply(labelled_pod("other", "client"));
  for (const bool v4 : kFamilies) CHECK(within(kSoon, [&] { return world.reaches(world.other, v4); }));
  world.remove(only_client);
  CHECK(within(kSoon, [&] { return world.reaches(world.client, true, 8081); }));
}

TEST_CASE("a policy bites an established connection at its next packet, and lets it go on when it goes") {
  const World world;
  const std::string nobody = policy("nobody", "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}");
  const Socket listener = must(Socket::tcp_listener(world.web.netns, world.web.address(true), 8080));
  const Socket client = must(Socket::tcp_connected(world.client.netns, world.web.address(true), 8080));
  const auto server = must(listener.accept());
  must(client.send("one"));
  CHECK(must(server.first.read(3)) == "one");
  const auto dropped = [&] { return world.cluster.packets("node-1", maps::DROP_POLICY_INGRESS); };
  world.apply(nobody);
  REQUIRE(within(kSoon, [&] { return !world.reaches(world.other, true); }));
  const auto before = dropped();
  must(client.send("two"));
  CHECK(within(kSoon, [&] { return dropped() > before; }));
  world.remove(nobody);
  CHECK(must(server.first.read(3)) == "two");
}

TEST_CASE("egress is judged by blocks, exceptions and named ports of the destination") {
  const World world;
  const auto web_v4 = world.web.address(true).text();
  world.apply(policy("out",
                     "{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{to: [{ipBlock: "
                     "{cidr: 10.244.0.0/16, except: [" +
                         web_v4 + "/32]}}]}]}"));
  REQUIRE(within(kSoon, [&] { return !world.reaches(world.client, true); }));
  CHECK(world.reaches(world.other, true));
  CHECK(!world.reaches(world.client, false));
  world.apply(policy("named",
                     "{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{to: "
                     "[{podSelector: {matchLabels: {app: web}}}], ports: [{port: http}]}]}"));
  // The named port is TCP's.
  const Socket listener = must(Socket::tcp_listener(world.web.netns, world.web.address(false), 8080));
  CHECK(within(kSoon, [&] { return bool(Socket::tcp_connected(world.client.netns, world.web.address(false), 8080)); }));
  CHECK(!world.reaches(world.client, false));
}

TEST_CASE("a namespace's label is all that it takes") {
  const World world;
  const auto ns = [](const std::string& team) {
    return "---\n{apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {team: " + team + "}}}\n";
  };
  world.apply(policy("reds",
                     "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: "
                     "{matchLabels: {team: red}}}]}]}"));
  REQUIRE(within(kSoon, [&] { return !world.reaches(world.client, true); }));
  for (const char* team : {"red", "blue", "red"}) {
    const bool red = team == std::string("red");
    world.apply(ns(team));
    for (const bool v4 : kFamilies) CHECK(within(kSoon, [&] { return world.reaches(world.client, v4) == red; }));
  }
}

TEST_CASE("egress through a Service is judged on the pod behind it and its port") {
  const World world;
  world.apply(
      "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\n"
      "spec: {clusterIPs: [10.96.0.1], ports: [{port: 80, targetPort: 8080, protocol: UDP}]}\n"
      "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web, namespace: default, labels: "
      "{kubernetes.io/service-name: web}}\naddressType: IPv4\nports: [{port: 8080, protocol: UDP}]\nendpoints: "
      "[{addresses: [" +
      world.web.address(true).text() + "]}]\n");
  const Socket server = must(Socket::udp(world.web.netns, world.web.address(true), 8080));
  const auto reaches = [&] {
    const Socket client = must(Socket::udp(world.client.netns, world.client.address(true)));
    must(client.send_to("x", must(Address::parse("10.96.0.1")), 80));
    return within(std::chrono::milliseconds(100), [&] { return bool(server.receive_now()); });
  };
  const auto out = [](const std::string& peer, const std::string& port) {
    return policy("out", "{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{to: [" + peer +
                             "], ports: [{protocol: UDP, port: " + port + "}]}]}");
  };
  const std::string web = "{podSelector: {matchLabels: {app: web}}}";
  REQUIRE(within(kSoon, reaches));
  world.apply(out(web, "80"));
  CHECK(within(kSoon, [&] { return !reaches(); }));
  world.apply(out(web, "8080"));
  CHECK(within(kSoon, reaches));
  world.apply(out("{ipBlock: {cidr: 10.96.0.1/32}}", "80"));
  CHECK(within(kSoon, [&] { return !reaches(); }));
}

TEST_CASE("verdicts outlive the agent, and a pod that comes meanwhile is not let in unguarded") {
  World world;
  world.apply(policy("nobody", "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}"));
  REQUIRE(within(kSoon, [&] { return !world.reaches(world.client, true); }));
  world.agent.stop(SIGKILL);
  CHECK(!world.reaches(world.client, true));
  const TextFile late(labelled_pod("late", "late"));
  const auto refused = world.cluster.lab({"apply", late.path()});
  CHECK(refused.status != 0);
  CHECK_MESSAGE(refused.output.find("has no policy yet") != std::string::npos, refused.output);
  world.agent.start();
  CHECK(!world.reaches(world.client, true));
  CHECK(world.cluster.lab({"apply", late.path()}).status == 0);
  CHECK(!world.reaches(world.cluster.pod("late"), true));
}
