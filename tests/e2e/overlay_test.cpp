// Pods of different nodes through the tunnels between them.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include <atomic>
#include <thread>

#include "loader/config.hpp"
#include "loader/kube/manifest.hpp"
#include "loader/net/netlink.hpp"
#include "loader/program/lifecycle.hpp"
#include "loader/program/overlay.hpp"
#include "loader/program/socket_hooks.hpp"
#include "loader/state/cluster.hpp"
#include "loader/state/nodes.hpp"
#include "loader/state/policy/policies.hpp"
#include "maps/views.hpp"
#include "tests/e2e/agent.hpp"
#include "tests/e2e/cluster.hpp"
#include "tests/e2e/socket.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;

namespace {

using loader::state::policy::Policies;

constexpr bool kFamilies[] = {true, false};

/// Two nodes with a pod each, which know of each other as if an agent had told them.
struct TwoNodes {
  explicit TwoNodes(bool over_v4 = true, const std::string& client_config = {})
      : yaml(overlay_node_yaml(1, over_v4) + overlay_node_yaml(2, over_v4) +
             pod_yaml("client", "node-1", client_config) + pod_yaml("server", "node-2")) {
    for (const char* node : {"node-1", "node-2"}) {
      writers.emplace(node, must(Policies::open(cluster.root(node))));
      (void)tell(node, yaml);
    }
  }

  /// What the agent of `node` does with these objects. Returns what it had to write.
  std::size_t tell(const std::string& node, const std::string& objects) {
    const auto root = cluster.root(node);
    loader::state::Cluster known;
    loader::kube::Batch batch;
    for (const auto& object : must(loader::kube::parse_manifest(objects, "nodes")))
      if (object.id.kind == "Node")
        batch.changes.push_back({object.id, std::make_shared<loader::kube::Object>(object)});
    (void)known.take(batch);
    const auto plan = must(loader::state::plan_nodes(known, node, root.maps()));
    CHECK(plan.warnings.empty());
    auto& writer = writers.at(node);
    return must(loader::state::write_nodes(root.maps(), plan)) +
           must(writer.update(known, node, {}, false, plan)).written;
  }

  std::string yaml;
  Cluster cluster{yaml};
  std::map<std::string, Policies> writers;  ///< by node
  Place client = cluster.pod("client");
  Place server = cluster.pod("server");
};

bool received(const Outcome& ping) { return ping.output.find(" 1 received") != std::string::npos; }

std::string pattern(std::size_t size) {
  std::string data(size, '\0');
  std::uint32_t state = 1;
  for (auto& byte : data) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<char>(state >> 24);
  }
  return data;
}

}  // namespace

TEST_CASE("pods of different nodes talk, both families over either underlay") {
  for (const bool underlay_v4 : kFamilies) {
    const TwoNodes lab(underlay_v4);
    for (const bool v4 : kFamilies) {
      CAPTURE(underlay_v4);
      CAPTURE(v4);
      for (const auto& [from, to] : {std::pair{&lab.client, &lab.server}, std::pair{&lab.server, &lab.client}}) {
        const auto ping = lab.cluster.exec(from->name, {"ping", "-c1", "-W2", to->address(v4).text()});
        CHECK_MESSAGE(received(ping), ping.output);

        const auto receiver = must(Socket::udp(to->netns, to->address(v4)));
        const auto sender = must(Socket::udp(from->netns, from->address(v4)));
        must(sender.send_to("question", to->address(v4), must(receiver.port())));
        const auto question = must(receiver.receive());
        CHECK(question.data == "question");
        CHECK(question.from == from->address(v4));
        must(receiver.send_to("answer", question.from, question.port));
        CHECK(must(sender.receive()).data == "answer");

        const auto data = pattern(8 << 20);
        const auto listener = must(Socket::tcp_listener(to->netns, to->address(v4)));
        const auto connected = must(Socket::tcp_connected(from->netns, to->address(v4), must(listener.port())));
        const auto [accepted, peer] = must(listener.accept());
        CHECK(peer == from->address(v4));
        Result<void> sent;
        std::thread sending([&] { sent = connected.send(data); });
        const auto arrived = accepted.read(data.size());
        sending.join();
        must(sent);
        CHECK(must(Result(arrived)) == data);
      }
    }
    for (const char* node : {"node-1", "node-2"}) {
      bool tunnelled = true;
      for (const auto& [key, entry] : must(must(maps::open<maps::Flows>(lab.cluster.root(node).maps())).dump()))
        tunnelled &=
            (entry.half[0].delivery == maps::FLOW_TO_TUNNEL) != (entry.half[1].delivery == maps::FLOW_TO_TUNNEL);
      CHECK(tunnelled);
    }
  }
}

TEST_CASE("agents tell the nodes of each other, and of one that joins") {
  const Cluster cluster(overlay_node_yaml(1, true) + pod_yaml("client", "node-1"));
  const Agent first(cluster, "node-1");
  const TextFile joins(overlay_node_yaml(2, true) + pod_yaml("server", "node-2"));
  const auto applied = cluster.lab({"apply", joins.path()});
  REQUIRE_MESSAGE(applied.status == 0, applied.output);
  const Agent second(cluster, "node-2");
  const auto server = cluster.pod("server");
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    CHECK(within(5s, [&] {
      return received(cluster.exec("client", {"ping", "-c1", "-W1", server.address(v4).text()}));
    }));
  }
}

TEST_CASE("a port where nobody listens is refused at once, and pings in fragments arrive") {
  const TwoNodes lab;
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    CHECK(Socket::tcp_connected(lab.client.netns, lab.server.address(v4), 9).failed_with(ECONNREFUSED));
    auto socket = must(Socket::udp(lab.client.netns, lab.client.address(v4)));
    must(socket.connect(lab.server.address(v4), 9));
    must(socket.send("anybody?"));
    CHECK(socket.receive().failed_with(ECONNREFUSED));  // by ICMP port unreachable
    for (const char* size : {"1500", "20000"}) {
      const auto ping = lab.cluster.exec("client", {"ping", "-c1", "-W2", "-s", size, lab.server.address(v4).text()});
      CHECK_MESSAGE(received(ping), ping.output);
    }
  }
}

TEST_CASE("what a tunnel needs is taken off the pods' MTU") {
  const TwoNodes lab;
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    const int header = v4 ? 28 : 48;
    const auto ping = [&](int size) {
      return lab.cluster.exec("client", {"ping", "-c1", "-W1", "-M", "do", "-s", std::to_string(size - header),
                                         lab.server.address(v4).text()});
    };
    CHECK(received(ping(1450)));
    CHECK(!received(ping(1451)));
  }
}

TEST_CASE("a pod whose MTU is larger than a tunnel can carry is told") {
  const TwoNodes lab(true, R"({"mtu": 1500})");
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    const auto receiver = must(Socket::udp(lab.server.netns, lab.server.address(v4)));
    auto sender = must(Socket::udp(lab.client.netns, lab.client.address(v4)));
    must(sender.forbid_fragments());
    must(sender.connect(lab.server.address(v4), must(receiver.port())));
    const auto before = lab.cluster.packets("node-1", maps::DROP_TOO_BIG);
    must(sender.send(std::string(1440, 'x')));
    CHECK(within(2s, [&] { return must(sender.path_mtu()) == 1450; }));
    CHECK(lab.cluster.packets("node-1", maps::DROP_TOO_BIG) == before + 1);
  }
}

TEST_CASE("a tunnel that is not its sender's node's is dropped, and so is one of another network") {
  TwoNodes lab;
  const auto server = must(Socket::udp(lab.server.netns, lab.server.address(true)));
  const auto client = must(Socket::udp(lab.client.netns, lab.client.address(true)));
  const auto send = [&] { must(client.send_to("x", lab.server.address(true), must(server.port()))); };
  send();
  CHECK(must(server.receive()).data == "x");

  // node-2 believes that node-1 has another address: what node-1 sends is a stranger's then, on a known flow, too.
  const auto moved = [&](const std::string& address) {
    auto yaml = lab.yaml;
    const std::string was = "172.18.0.11";
    return yaml.replace(yaml.find(was), was.size(), address);
  };
  CHECK(lab.tell("node-2", moved("172.18.0.99")) > 0);
  const auto foreign = lab.cluster.packets("node-2", maps::DROP_FOREIGN_TUNNEL);
  send();
  CHECK(within(2s, [&] { return lab.cluster.packets("node-2", maps::DROP_FOREIGN_TUNNEL) == foreign + 1; }));
  CHECK(server.receive_now().failed_with(EAGAIN));
  CHECK(lab.tell("node-2", lab.yaml) > 0);
  send();
  CHECK(must(server.receive()).data == "x");

  // And one of a node that has left the cluster.
  CHECK(lab.tell("node-2", overlay_node_yaml(2, true)) > 0);
  send();
  CHECK(within(2s, [&] { return lab.cluster.packets("node-2", maps::DROP_FOREIGN_TUNNEL) == foreign + 2; }));
  CHECK(lab.tell("node-2", lab.yaml) > 0);
  CHECK(lab.tell("node-2", lab.yaml) == 0);

  const auto node = lab.cluster.node("node-1");
  const auto root = lab.cluster.root("node-1");
  const auto load = [&](std::uint32_t vni) {
    auto config = must(loader::NodeConfig::read(root));
    config.vni = vni;
    must(node.netns.run([&]() -> Result<void> {
      TRY(loader::program::load(root, config));
      return {};
    }));
  };
  load(77);
  const auto other = lab.cluster.packets("node-2", maps::DROP_FOREIGN_VNI);
  send();
  CHECK(within(2s, [&] { return lab.cluster.packets("node-2", maps::DROP_FOREIGN_VNI) == other + 1; }));
  load(must(loader::NodeConfig::read(root)).vni);
  send();
  CHECK(must(server.receive()).data == "x");
}

TEST_CASE("a tunnel to an address that is no pod's is dropped there") {
  const TwoNodes lab;
  for (const char* text : {"10.244.2.200", "fd00:10:244:2::200"}) {
    const auto nobody = must(Address::parse(text));
    const auto client = must(Socket::udp(lab.client.netns, lab.client.address(nobody.is_v4())));
    const auto before = lab.cluster.packets("node-2", maps::DROP_NO_SUCH_POD);
    must(client.send_to("x", nobody, 9));
    CHECK(within(2s, [&] { return lab.cluster.packets("node-2", maps::DROP_NO_SUCH_POD) == before + 1; }));
  }
}

TEST_CASE("a tunnel device that somebody deletes, takes down or changes is made right, and connections go on") {
  const TwoNodes lab;
  const auto node = lab.cluster.node("node-2");
  const auto root = lab.cluster.root("node-2");
  const auto config = must(loader::NodeConfig::read(root));
  const auto listener = must(Socket::tcp_listener(lab.server.netns, lab.server.address(true)));
  const auto client = must(Socket::tcp_connected(lab.client.netns, lab.server.address(true), must(listener.port())));
  const auto [server, peer] = must(listener.accept());
  const auto repair = [&] {
    std::vector<std::string> changes;
    must(node.netns.run([&]() -> Result<void> {
      changes = TRY(loader::program::repair_overlay(root, config));
      return {};
    }));
    return changes;
  };
  CHECK(repair().empty());
  const std::vector<Command> harms = {{"ip", "link", "del", "sluice_vxlan"},
                                      {"ip", "link", "set", "sluice_vxlan", "down"},
                                      {"ip", "link", "set", "sluice_vxlan", "mtu", "1300"},
                                      {"ip", "link", "set", "sluice_vxlan", "address", "02:00:00:00:00:77"},
                                      {"tc", "qdisc", "del", "dev", "sluice_vxlan", "clsact"}};
  for (const auto& harm : harms) {
    CAPTURE(harm.back());
    const auto done = lab.cluster.on_node("node-2", harm);
    REQUIRE_MESSAGE(done.status == 0, done.output);
    CHECK(repair().size() == 1);
    CHECK(repair().empty());
    must(client.send("there"));
    CHECK(must(server.read(5)) == "there");
    must(server.send("back"));
    CHECK(must(client.read(4)) == "back");
  }
}

TEST_CASE("upgrades lose nothing of what goes between nodes") {
  const TwoNodes lab;
  const auto listener = must(Socket::tcp_listener(lab.server.netns, lab.server.address(true)));
  const auto client = must(Socket::tcp_connected(lab.client.netns, lab.server.address(true), must(listener.port())));
  const auto [server, peer] = must(listener.accept());
  std::atomic<bool> stop = false;
  std::atomic<int> rounds = 0;
  Result<void> failed;
  std::thread load([&] {
    while (!stop && failed) {
      if (failed = client.send("there"); !failed) break;
      if (auto got = server.read(5); !got) failed = got.error();
      if (failed) failed = server.send("back");
      if (auto got = client.read(4); failed && !got) failed = got.error();
      rounds++;
    }
  });
  for (int round = 1; round <= 10; round++) {
    for (const char* name : {"node-1", "node-2"}) {
      const auto root = lab.cluster.root(name);
      auto config = must(loader::NodeConfig::read(root));
      config.timeouts.udp_established += std::chrono::seconds(round);
      const auto before = rounds.load();
      must(lab.cluster.node(name).netns.run([&]() -> Result<void> {
        const auto report = TRY(loader::program::load(root, config));
        if (report.outcome != loader::program::LoadReport::Outcome::kUpgraded) return refuse(EINVAL, "not upgraded");
        // A pod's two, the tunnel's, the uplink's, and those of sockets.
        const auto hooks = 4 + loader::program::kSocketPrograms.size();
        return report.hooks == hooks ? Result<void>() : refuse(EINVAL, std::to_string(report.hooks) + " hooks");
      }));
      CHECK(within(5s, [&] { return rounds > before; }));
    }
  }
  stop = true;
  load.join();
  must(failed);
  MESSAGE("exchanges between nodes: ", rounds.load());
}
