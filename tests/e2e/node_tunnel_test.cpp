// The node's own processes and pods of other nodes, through the tunnels.
#include <doctest/doctest.h>

#include <cerrno>

#include "tests/e2e/cluster.hpp"
#include "tests/e2e/node_pair.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;

TEST_CASE("the node's own processes reach pods of other nodes through the tunnel under the node's address") {
  const NodePair lab("overlay");
  lab.apply(balanced_yaml("Cluster") + slices_yaml({&lab.there}));
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    const Address there = lab.there.address(v4), node = lab.node.address(v4);
    exchange(lab.node, there, kTargetPort, lab.there, node);
    ask_by_udp(lab.node, there, kTargetPort, lab.there, node);
    const auto ping = lab.cluster.on_node("node-1", {"ping", "-c1", "-W2", there.text()});
    CHECK_MESSAGE(received(ping), ping.output);
    CHECK(Socket::tcp_connected(lab.node.netns, there, 9).failed_with(ECONNREFUSED));
    Socket closed = must(Socket::udp(lab.node.netns, node));
    must(closed.connect(there, 9));
    must(closed.send("anybody?"));
    CHECK(closed.receive().failed_with(ECONNREFUSED));  // by ICMP
    // By a Service, of which a process of the node is given the endpoint when it connects.
    const Socket listener = must(Socket::tcp_listener(lab.there.netns, there, kTargetPort));
    CHECK(within(5s, [&] { return bool(Socket::tcp_connected(lab.node.home(), vip(v4), kServicePort)); }));
  }
}

TEST_CASE("such connections outlive changes, and the pod's policy judges them as another node's") {
  constexpr std::uint16_t kPort = 9090;
  const NodePair lab("overlay");
  const Socket listener = must(Socket::tcp_listener(lab.there.netns, lab.there.address(true), kPort));
  const Socket client = must(Socket::tcp_connected(lab.node.netns, lab.there.address(true), kPort));
  const auto [server, peer] = must(listener.accept());
  const auto talk = [&, &server = server] {
    must(client.send("there"));
    CHECK(must(server.read(5)) == "there");
    must(server.send("back"));
    CHECK(must(client.read(4)) == "back");
  };
  talk();
  lab.apply(balanced_yaml("Cluster") + slices_yaml({&lab.there}));  // a new epoch on both nodes
  for (const bool v4 : kFamilies) REQUIRE(within(5s, [&] { return lab.answers(v4); }));
  talk();
  // A tunnel device that was made anew has the routes again by the agent's next look.
  const auto gone = lab.cluster.on_node("node-1", {"ip", "link", "del", "sluice_vxlan"});
  REQUIRE_MESSAGE(gone.status == 0, gone.output);
  CHECK(within(25s, [&] {
    return received(lab.cluster.on_node("node-1", {"ping", "-c1", "-W1", lab.there.address(true).text()}));
  }));
  talk();
  lab.apply(
      "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: default, name: none}, "
      "spec: {podSelector: {}, policyTypes: [Ingress]}}\n");
  const auto denied = [&] { return lab.cluster.packets("node-2", maps::DROP_POLICY_INGRESS); };
  CHECK(within(5s, [&] {
    must(client.send("x"));
    return denied() > 0;
  }));
}
