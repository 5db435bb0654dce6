// The world and the cluster: outside clients of Services, and pods that go out under their node's address.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include <cerrno>

#include "loader/config.hpp"
#include "loader/program/lifecycle.hpp"
#include "loader/program/uplink.hpp"
#include "tests/e2e/cluster.hpp"
#include "tests/e2e/node_pair.hpp"
#include "tests/e2e/service_world.hpp"
#include "tests/e2e/socket.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;

namespace {

using Lab = NodePair;

}  // namespace

TEST_CASE("outside clients reach a pod of the node by node port and load balancer address, and it sees who they are") {
  const Lab lab;
  for (const char* policy : {"Cluster", "Local"}) {
    lab.apply(balanced_yaml(policy) + slices_yaml({&lab.here}));
    for (const bool v4 : kFamilies) {
      CAPTURE(policy);
      CAPTURE(v4);
      REQUIRE(within(5s, [&] { return lab.answers(v4); }));
      const Address client = lab.world.address(v4);
      exchange(lab.world, lab.node.address(v4), kNodePort, lab.here, client);
      exchange(lab.world, balancer(v4), 80, lab.here, client);
      ask_by_udp(lab.world, lab.node.address(v4), kNodePort, lab.here, client);
      ask_by_udp(lab.world, balancer(v4), 80, lab.here, client);
    }
  }
}

TEST_CASE("a pod of another node answers outside clients by the node that they asked, which it knows as the client") {
  const Lab lab;
  lab.apply(balanced_yaml("Cluster") + slices_yaml({&lab.there}));
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    REQUIRE(within(5s, [&] { return lab.answers(v4); }));
    exchange(lab.world, lab.node.address(v4), kNodePort, lab.there, lab.node.address(v4));
    exchange(lab.world, balancer(v4), 80, lab.there, lab.node.address(v4));
    ask_by_udp(lab.world, lab.node.address(v4), kNodePort, lab.there, lab.node.address(v4));
    // A node is a client of the cluster, and reaches every endpoint.
    exchange(lab.other_node, lab.node.address(v4), kNodePort, lab.there, lab.node.address(v4));
  }
}

TEST_CASE(
    "without endpoints outside clients are refused; with policy Local and endpoints elsewhere they wait in vain") {
  const Lab lab;
  lab.apply(balanced_yaml("Local") + slices_yaml({}));
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    CHECK(within(5s, [&] {
      return Socket::tcp_connected(lab.world.netns, lab.node.address(v4), kNodePort).failed_with(ECONNREFUSED);
    }));
    Socket asks = must(Socket::udp(lab.world.netns, lab.world.address(v4)));
    must(asks.connect(balancer(v4), 80));
    must(asks.send("anybody?"));
    CHECK(asks.receive().failed_with(ECONNREFUSED));
  }
  lab.apply(slices_yaml({&lab.there}));
  const auto dropped = [&] { return lab.cluster.packets("node-1", maps::DROP_NO_LOCAL_BACKEND); };
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    const auto before = dropped();
    CHECK(within(5s, [&] {
      const auto client = Socket::tcp_connected(lab.world.netns, balancer(v4), 80);
      return !client && !client.failed_with(ECONNREFUSED);
    }));
    CHECK(dropped() > before);
  }
}

TEST_CASE("pods reach the world under their node's address, by TCP, UDP and ping, and are told what goes wrong there") {
  const Lab lab;
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    const Address world = lab.world.address(v4), node = lab.node.address(v4);
    exchange(lab.here, world, kTargetPort, lab.world, node);
    ask_by_udp(lab.here, world, kTargetPort, lab.world, node);
    const auto ping = lab.cluster.exec("here", {"ping", "-c1", "-W2", world.text()});
    CHECK_MESSAGE(received(ping), ping.output);
    CHECK(Socket::tcp_connected(lab.here.netns, world, 9).failed_with(ECONNREFUSED));
    // By ICMP, from the server and from a router that knows no way.
    Socket closed = must(Socket::udp(lab.here.netns, lab.here.address(v4)));
    must(closed.connect(world, 9));
    must(closed.send("anybody?"));
    CHECK(closed.receive().failed_with(ECONNREFUSED));
    const auto lost = lab.cluster.exec("here", {"ping", "-c1", "-W2", v4 ? "198.18.0.1" : "2001:db8:dead::1"});
    CHECK_MESSAGE(lost.output.find("From " + world.text() + " icmp_seq=1 Dest") != std::string::npos, lost.output);
    // Another node knows no way back to a pod of this one.
    exchange(lab.here, lab.other_node.address(v4), kTargetPort, lab.other_node, node);
    // What the pods have among themselves stays their own.
    exchange(lab.here, lab.there.address(v4), kTargetPort, lab.there, lab.here.address(v4));
  }
}

TEST_CASE("what is the node's own passes its uplink as before, beside what is translated") {
  const Lab lab;
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    exchange(lab.world, lab.node.address(v4), kTargetPort, lab.node, lab.world.address(v4));
    exchange(lab.node, lab.world.address(v4), kTargetPort, lab.world, lab.node.address(v4));
    const auto ping = lab.cluster.lab({"world", "--", "ping", "-c1", "-W2", lab.node.address(v4).text()});
    CHECK_MESSAGE(received(ping), ping.output);
    // A server of the node keeps its port, whatever a pod sends from.
    const Socket server = must(Socket::udp(lab.node.netns, lab.node.address(v4), 20000));
    const Socket pod = must(Socket::udp(lab.here.netns, lab.here.address(v4), 20000));
    const Socket client = must(Socket::udp(lab.world.netns, lab.world.address(v4), 20000));
    must(pod.send_to("from a pod", lab.world.address(v4), 20000));
    const Datagram first = must(client.receive());
    CHECK(first.from == lab.node.address(v4));
    CHECK(first.port != 20000);
    must(client.send_to("to the node", lab.node.address(v4), 20000));
    CHECK(must(server.receive()).data == "to the node");
    must(client.send_to("to the pod", first.from, first.port));
    CHECK(must(pod.receive()).data == "to the pod");
  }
}

TEST_CASE("an uplink that lost its program gets it again, and upgrades lose nothing of what passes it") {
  const Lab lab;
  lab.apply(balanced_yaml("Cluster") + slices_yaml({&lab.there}));
  REQUIRE(within(5s, [&] { return lab.answers(true); }));
  const auto root = lab.cluster.root("node-1");
  auto config = must(loader::NodeConfig::read(root));
  const auto on_node = [&](const std::function<Result<void>()>& work) { must(lab.node.netns.run(work)); };

  const Socket listener = must(Socket::tcp_listener(lab.there.netns, lab.there.address(true), kTargetPort));
  const Socket client = must(Socket::tcp_connected(lab.world.netns, lab.node.address(true), kNodePort));
  const auto [server, peer] = must(listener.accept());
  const auto talk = [&, &server = server] {
    must(client.send("there"));
    CHECK(must(server.read(5)) == "there");
    must(server.send("back"));
    CHECK(must(client.read(4)) == "back");
  };
  talk();
  for (int round = 1; round <= 5; round++) {
    config.timeouts.udp_established += std::chrono::seconds(round);
    on_node([&]() -> Result<void> {
      const auto report = TRY(loader::program::load(root, config));
      if (report.outcome != loader::program::LoadReport::Outcome::kUpgraded) return refuse(EINVAL, "not upgraded");
      return {};
    });
    talk();
  }
  const auto gone = lab.cluster.on_node("node-1", {"tc", "qdisc", "del", "dev", "eth0", "clsact"});
  REQUIRE_MESSAGE(gone.status == 0, gone.output);
  std::size_t changes = 9;
  for (const std::size_t most : {1, 0}) {  // the agent may have been first
    on_node([&]() -> Result<void> {
      changes = TRY(loader::program::repair_uplinks(root, config)).size();
      return {};
    });
    CHECK(changes <= most);
  }
  talk();
}
