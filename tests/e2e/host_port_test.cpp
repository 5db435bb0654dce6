// Host ports: ports of a node that lead to one of its pods, opened by the plugin.
#include <doctest/doctest.h>
#include <signal.h>

#include <cerrno>
#include <optional>

#include "tests/e2e/service_world.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;

namespace {

constexpr std::uint16_t kHostPort = 30080;

/// As kubelet's runtime has it: the ports of a container.
std::string server_yaml() {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  nodeName: node-1\n  containers:\n"
         "  - {name: c, ports: [{containerPort: 8080, hostPort: 30080}, {containerPort: 8080, hostPort: 30080, "
         "protocol: "
         "UDP}]}\n";
}

/// The address that the pod `web` sees a connection of `client` come from; nullopt: it does not come.
std::optional<Address> seen(const Place& web, const Home& client, const Address& to) {
  const Socket listener = must(Socket::tcp_listener(web.netns, web.address(to.is_v4()), kTargetPort));
  const auto asks = Socket::tcp_connected(client, to, kHostPort);
  if (!asks) return std::nullopt;
  const auto [accepted, from] = must(listener.accept());
  must(accepted.send("hello"));
  CHECK(must(asks->read(5)) == "hello");
  return from;
}

void ask_by_udp(const Place& web, const Home& client, const Address& at, const Address& to) {
  const Socket server = must(Socket::udp(web.netns, web.address(to.is_v4()), kTargetPort));
  const Socket asks = must(Socket::udp(client, at));
  must(asks.send_to("question", to, kHostPort));
  const Datagram question = must(server.receive());
  CHECK(question.data == "question");
  must(server.send_to("answer", question.from, question.port));
  const Datagram answer = must(asks.receive());
  CHECK(answer.data == "answer");
  CHECK(answer.from == to);
  CHECK(answer.port == kHostPort);
}

}  // namespace

TEST_CASE("a host port is reached from outside, from the node and from pods, with no agent, until its pod goes") {
  const Cluster cluster(node_yaml(1) + pod_yaml("client", "node-1") + server_yaml());
  const Place web = cluster.pod("web"), client = cluster.pod("client"), node = cluster.node("node-1"),
              world = cluster.world();
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    const Address at = node.address(v4), loopback = must(Address::parse(v4 ? "127.0.0.1" : "::1"));
    CHECK(seen(web, world.netns, at) == world.address(v4));
    CHECK(seen(web, client.netns, at) == client.address(v4));
    CHECK(seen(web, client.home(), at) == client.address(v4));
    CHECK(seen(web, web.netns, at));  // itself, by whatever address it can answer
    CHECK(seen(web, node.home(), at));
    CHECK(seen(web, node.home(), loopback));
    ask_by_udp(web, world.netns, world.address(v4), at);
    ask_by_udp(web, client.netns, client.address(v4), at);
  }
  const TextFile pod(server_yaml());
  const auto deleted = cluster.lab({"delete", pod.path()});
  REQUIRE_MESSAGE(deleted.status == 0, deleted.output);
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    CHECK(Socket::tcp_connected(world.netns, node.address(v4), kHostPort).failed_with(ECONNREFUSED));
    CHECK(Socket::tcp_connected(client.netns, node.address(v4), kHostPort).failed_with(ECONNREFUSED));
    CHECK(Socket::tcp_connected(node.home(), node.address(v4), kHostPort).failed_with(ECONNREFUSED));
  }
}

TEST_CASE("an agent leaves host ports alone, and a Service gets a node port that is one when its pod has gone") {
  const Cluster cluster(node_yaml(1) + pod_yaml("client", "node-1") + pod_yaml("two", "node-1") + server_yaml());
  const Place web = cluster.pod("web"), two = cluster.pod("two"), client = cluster.pod("client"),
              node = cluster.node("node-1");
  Agent agent(cluster, "node-1");
  const auto leads_to = [&](const Place& server) {
    return within(5s, [&] { return seen(server, client.netns, node.address(true)).has_value(); });
  };
  REQUIRE(leads_to(web));
  std::string service = service_yaml("  type: NodePort\n");
  const std::string port = "port: 80, targetPort: 8080}, {name: udp";
  service.replace(service.find(port), port.size(), "port: 80, targetPort: 8080, nodePort: 30080}, {name: udp");
  const auto apply = [&](const std::string& verb, const std::string& yaml) {
    const TextFile file(yaml);
    const auto outcome = cluster.lab({verb, file.path()});
    REQUIRE_MESSAGE(outcome.status == 0, outcome.output);
  };
  apply("apply", service + slices_yaml({&two}));
  const auto reached = [&](const Place& server) {
    const Socket listener = must(Socket::tcp_listener(server.netns, server.address(true), kTargetPort));
    return Socket::tcp_connected(client.netns, vip(true), kServicePort) && listener.accept();
  };
  REQUIRE(within(5s, [&] { return reached(two); }));  // what of the Service can be in force is
  CHECK(seen(web, client.netns, node.address(true)));
  agent.restart(SIGKILL);
  CHECK(seen(web, client.netns, node.address(true)));
  CHECK(reached(two));
  apply("delete", service);
  CHECK(within(5s, [&] { return !reached(two); }));
  CHECK(seen(web, client.netns, node.address(true)));
  apply("apply", service);
  REQUIRE(within(5s, [&] { return reached(two); }));
  apply("delete", server_yaml());
  apply("apply", slices_yaml({&two, &client}));  // the agent looks again with the next change, or within ten seconds
  apply("apply", slices_yaml({&two}));
  CHECK(within(15s, [&] { return seen(two, client.netns, node.address(true)).has_value(); }));
}
