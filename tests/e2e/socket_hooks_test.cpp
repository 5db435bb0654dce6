// Services for sockets that are translated when they connect: of the node's own processes, and of pods.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>

#include "loader/program/socket_hooks.hpp"
#include "maps/views.hpp"
#include "tests/e2e/service_world.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;

namespace {

Correspondent service(bool v4) { return {vip(v4), kServicePort}; }

/// Entries of the flow table that are translated.
std::size_t translated_flows(const World& world) {
  std::size_t count = 0;
  const auto flows = must(maps::open<maps::Flows>(world.cluster.root("node-1").maps()));
  must(flows.each([&](const maps::flow_key&, const maps::flow_entry& entry) {
    count += (entry.flags & FLOW_TRANSLATED) != 0 ? 1 : 0;
  }));
  return count;
}

/// A datagram from `client` to the Service, answered by the pod at `server`: where the answer comes from.
Correspondent asked(const Socket& client, const Place& place, const Socket& server, bool v4, bool connected) {
  if (connected)
    must(client.send("question"));
  else
    must(client.send_to("question", vip(v4), kServicePort));
  const Datagram question = must(server.receive());
  CHECK(question.data == "question");
  CHECK(question.from == place.address(v4));
  must(server.send_to("answer", question.from, question.port));
  const Datagram answer = must(client.receive());
  CHECK(answer.data == "answer");
  return {answer.from, answer.port};
}

}  // namespace

TEST_CASE("the node's own processes and pods reach a Service by their sockets, and are told its address") {
  const World world;
  const Place node = world.cluster.node("node-1");
  world.apply(service_yaml() + slices_yaml({&world.web}));
  for (const Place* client : {&node, &world.client})
    for (const bool v4 : kFamilies) {
      CAPTURE(client->name);
      CAPTURE(v4);
      REQUIRE(within(5s, [&] { return world.answers(*client, v4, true) == "web"; }));
      const Socket listener = must(Socket::tcp_listener(world.web.netns, world.web.address(v4), kTargetPort));
      for (const Family family : {Family::kOwn, Family::kIpv6})
        CHECK(must(must(Socket::tcp_connected(client->home(), vip(v4), kServicePort, family)).peer()) == service(v4));
    }
  // No packet of these was translated on its way.
  CHECK(translated_flows(world) == 0);
  for (const Place* client : {&node, &world.client})
    for (const bool v4 : kFamilies) {
      CAPTURE(client->name);
      CAPTURE(v4);
      const Socket server = must(Socket::udp(world.web.netns, world.web.address(v4), kTargetPort));
      for (const Family family : {Family::kOwn, Family::kIpv6})
        for (const bool connected : {true, false}) {
          CAPTURE(connected);
          Socket socket = must(Socket::udp_for(client->home(), vip(v4), family));
          if (connected) must(socket.connect(vip(v4), kServicePort));
          CHECK(asked(socket, *client, server, v4, connected) == service(v4));
        }
    }
}

TEST_CASE("without an endpoint the sockets of the node and of pods are refused at once, and it is counted") {
  const World world;
  const Place node = world.cluster.node("node-1");
  world.apply(service_yaml() + slices_yaml({}));
  for (const Place* client : {&node, &world.client})
    for (const bool v4 : kFamilies) {
      CAPTURE(client->name);
      CAPTURE(v4);
      REQUIRE(within(
          5s, [&] { return Socket::tcp_connected(client->home(), vip(v4), kServicePort).failed_with(ECONNREFUSED); }));
      const auto before = world.cluster.packets("node-1", maps::DROP_NO_BACKEND);
      CHECK(Socket::tcp_connected(client->home(), vip(v4), kServicePort).failed_with(ECONNREFUSED));
      CHECK(Socket::tcp_connected(client->home(), vip(v4), 81).failed_with(ECONNREFUSED));
      CHECK(world.cluster.packets("node-1", maps::DROP_NO_BACKEND) == before + 2);
    }
}

TEST_CASE("a node port is reached from the node itself, at localhost too, and from pods") {
  const World world;
  const Place node = world.cluster.node("node-1");
  std::string yaml = service_yaml("  type: NodePort\n");
  yaml.replace(yaml.find("{name: tcp,"), 11, "{name: tcp, nodePort: 30080,");
  world.apply(yaml + slices_yaml({&world.web}));
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    const Socket listener = must(Socket::tcp_listener(world.web.netns, world.web.address(v4), kTargetPort));
    const Address loopback = must(Address::parse(v4 ? "127.0.0.1" : "::1"));
    REQUIRE(within(5s, [&] { return bool(Socket::tcp_connected(node.home(), node.address(v4), 30080)); }));
    const Socket local = must(Socket::tcp_connected(node.home(), loopback, 30080));
    CHECK(must(local.peer()) == Correspondent{loopback, 30080});
    CHECK(Socket::tcp_connected(world.client.home(), node.address(v4), 30080));
    CHECK(Socket::tcp_connected(world.client.home(), loopback, 30080).failed_with(ECONNREFUSED));
  }
}

TEST_CASE("a pod that reaches itself through its Service talks to itself, with its socket's hooks and by packets") {
  const World world;
  world.apply(service_yaml() + slices_yaml({&world.web}));
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    REQUIRE(within(5s, [&] { return world.answers(world.client, v4) == "web"; }));
    const Socket listener = must(Socket::tcp_listener(world.web.netns, world.web.address(v4), kTargetPort));
    const Socket hooked = must(Socket::tcp_connected(world.web.home(), vip(v4), kServicePort));
    CHECK(must(listener.accept()).second == world.web.address(v4));
    CHECK(must(hooked.peer()) == service(v4));
    const Socket by_packets = must(Socket::tcp_connected(world.web.netns, vip(v4), kServicePort));
    CHECK(must(listener.accept()).second == vip(v4));
  }
}

TEST_CASE("new connections of the node follow the endpoints, running ones stay, and datagrams leave what is gone") {
  const World world;
  const Place node = world.cluster.node("node-1");
  world.apply(service_yaml() + slices_yaml({&world.web}));
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    REQUIRE(within(5s, [&] { return world.answers(node, v4, true) == "web"; }));
    const Socket listener = must(Socket::tcp_listener(world.web.netns, world.web.address(v4), kTargetPort));
    const Socket client = must(Socket::tcp_connected(node.home(), vip(v4), kServicePort));
    const auto accepted = must(listener.accept());
    const Socket at_web = must(Socket::udp(world.web.netns, world.web.address(v4), kTargetPort));
    const Socket at_two = must(Socket::udp(world.two.netns, world.two.address(v4), kTargetPort));
    const Socket asks = must(Socket::udp_for(node.home(), vip(v4)));
    CHECK(asked(asks, node, at_web, v4, false) == service(v4));

    world.apply(slices_yaml({&world.two}));
    REQUIRE(within(5s, [&] {
      const Socket next = must(Socket::tcp_listener(world.two.netns, world.two.address(v4), kTargetPort));
      const auto connected = Socket::tcp_connected(node.home(), vip(v4), kServicePort);
      return connected && next.accept_now();
    }));
    must(client.send("still here"));
    CHECK(must(accepted.first.read(10)) == "still here");
    CHECK(asked(asks, node, at_two, v4, false) == service(v4));
    world.apply(slices_yaml({&world.web}));
  }
}

TEST_CASE("a connected UDP socket of the node is ended when its endpoint goes, and one that asked no Service is not") {
  const World world;
  const Place node = world.cluster.node("node-1");
  world.apply(service_yaml() + slices_yaml({&world.web, &world.two}));
  for (const bool v4 : kFamilies)
    for (const Family family : {Family::kOwn, Family::kIpv6}) {
      CAPTURE(v4);
      REQUIRE(within(5s, [&] { return world.answers(node, v4, true) != "nobody"; }));
      const Socket at_web = must(Socket::udp(world.web.netns, world.web.address(v4), kTargetPort));
      const Socket at_two = must(Socket::udp(world.two.netns, world.two.address(v4), kTargetPort));
      Socket direct = must(Socket::udp_for(node.home(), vip(v4), family));
      must(direct.connect(world.web.address(v4), kTargetPort));
      std::vector<Socket> asking;
      for (int i = 0; i < 16; i++) {
        asking.push_back(must(Socket::udp_for(node.home(), vip(v4), family)));
        must(asking.back().connect(vip(v4), kServicePort));
      }
      const auto lost = [&] {
        return std::ranges::count_if(asking, [](const Socket& one) {
          return one.receive_now().failed_with(ECONNABORTED) && one.send("x").failed_with(EDESTADDRREQ);
        });
      };
      CHECK(lost() == 0);
      world.apply(slices_yaml({&world.two}));
      // Each is told once, and has no correspondent any more.
      std::ptrdiff_t told = 0;
      CHECK(within(5s, [&] { return (told += lost()) > 0; }));
      CHECK(told < 16);
      must(direct.send("question"));
      CHECK(must(direct.peer()).address == world.web.address(v4));
      Socket again = must(Socket::udp_for(node.home(), vip(v4), family));
      must(again.connect(vip(v4), kServicePort));
      while (at_two.receive_now()) {
      }
      CHECK(asked(again, node, at_two, v4, true) == service(v4));
      world.apply(slices_yaml({&world.web, &world.two}));
    }
}

TEST_CASE("where sockets are left alone, pods' packets are balanced and the node reaches no Service") {
  const World world("lab.sluice.dev/config: '{\"socketBalancing\": false}'");
  const Place node = world.cluster.node("node-1");
  world.apply(service_yaml() + slices_yaml({&world.web}));
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    REQUIRE(within(5s, [&] { return world.answers(world.client, v4, true) == "web"; }));
    CHECK(!Socket::tcp_connected(node.home(), vip(v4), kServicePort));
  }
  CHECK(translated_flows(world) > 0);
}

TEST_CASE("hooks that somebody takes off a node's sockets are put back by its agent, and removed with the datapath") {
  World world;
  const auto root = world.cluster.root("node-1");
  const auto attached = [&] {
    std::size_t count = 0;
    for (const char* name : loader::program::kSocketPrograms)
      count += must(loader::program::socket_attachment(root, name)) ? 1 : 0;
    return count;
  };
  CHECK(attached() == loader::program::kSocketPrograms.size());
  must(loader::program::detach_socket_hook(root, "sock_connect4"));
  CHECK(attached() == loader::program::kSocketPrograms.size() - 1);
  world.agent.restart(SIGTERM);
  CHECK(attached() == loader::program::kSocketPrograms.size());
  world.agent.stop(SIGTERM);
  REQUIRE(world.cluster.on_node("node-1", {binary("sluiced").string(), "remove"}).status == 0);
  CHECK(attached() == 0);
}
