// Services from objects to sockets: the agent of a node fills the maps, the datapath balances.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "maps/views.hpp"
#include "tests/e2e/service_world.hpp"

using namespace sluice;
using namespace sluice::e2e;

namespace {

std::string answered_by(const World& world, bool v4) { return world.answers(world.client, v4); }

bool refused(const World& world, bool v4) {
  const auto client = Socket::tcp_connected(world.client.netns, vip(v4), kServicePort);
  return client.failed_with(ECONNREFUSED);
}

}  // namespace

TEST_CASE("a pod reaches a Service by TCP and UDP in both families, and its answers come from the Service") {
  const World world;
  world.apply(service_yaml() + slices_yaml({&world.web}));
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    CHECK(within(std::chrono::seconds(5), [&] { return answered_by(world, v4) == "web"; }));
    const Socket server = must(Socket::udp(world.web.netns, world.web.address(v4), kTargetPort));
    const Socket asks = must(Socket::udp(world.client.netns, world.client.address(v4)));
    must(asks.send_to("question", vip(v4), kServicePort));
    const Datagram question = must(server.receive());
    CHECK(question.data == "question");
    CHECK(question.from == world.client.address(v4));
    must(server.send_to("answer", question.from, question.port));
    const Datagram answer = must(asks.receive());
    CHECK(answer.data == "answer");
    CHECK(answer.from == vip(v4));
    CHECK(answer.port == kServicePort);
  }
}

TEST_CASE("new connections follow the endpoints, running ones stay, and without any they are refused") {
  const World world;
  world.apply(service_yaml() + slices_yaml({&world.web}));
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    REQUIRE(within(std::chrono::seconds(5), [&] { return answered_by(world, v4) == "web"; }));
    const Socket listener = must(Socket::tcp_listener(world.web.netns, world.web.address(v4), kTargetPort));
    const Socket client = must(Socket::tcp_connected(world.client.netns, vip(v4), kServicePort));
    const auto accepted = must(listener.accept());
    world.apply(slices_yaml({&world.two}));
    CHECK(within(std::chrono::seconds(5), [&] {
      const Socket server = must(Socket::tcp_listener(world.two.netns, world.two.address(v4), kTargetPort));
      const auto next = Socket::tcp_connected(world.client.netns, vip(v4), kServicePort);
      return next && server.accept();
    }));
    must(client.send("still here"));
    CHECK(must(accepted.first.read(10)) == "still here");
    world.apply(slices_yaml({}));
    CHECK(within(std::chrono::seconds(5), [&] { return refused(world, v4); }));
    world.apply(slices_yaml({&world.web}));
  }
}

TEST_CASE("an agent that is killed disturbs nothing, and the next one touches only what differs") {
  World world;
  world.apply(service_yaml() + slices_yaml({&world.web}));
  for (const bool v4 : kFamilies)
    REQUIRE(within(std::chrono::seconds(5), [&] { return answered_by(world, v4) == "web"; }));
  const auto services = must(maps::open<maps::Services>(world.cluster.root("node-1").maps()));
  const auto before = must(services.dump());
  world.agent.restart(SIGKILL);
  CHECK(answered_by(world, true) == "web");
  const auto after = must(services.dump());
  REQUIRE(after.size() == before.size());
  for (const auto& [key, value] : before) {
    const auto same = [&](const auto& one) {
      return std::memcmp(&one.first, &key, sizeof(key)) == 0 && std::memcmp(&one.second, &value, sizeof(value)) == 0;
    };
    CHECK(std::ranges::any_of(after, same));
  }
  // What went while nobody looked.
  world.agent.stop(SIGKILL);
  REQUIRE(world.cluster.lab({"delete", TextFile(service_yaml()).path()}).status == 0);
  CHECK(answered_by(world, true) == "web");
  world.agent.start();
  CHECK(within(std::chrono::seconds(5), [&] { return must(services.dump()).empty(); }));
}

TEST_CASE("a node port of the node is reached by its pods, and a wrong object takes no good one down") {
  const World world;
  world.apply(service_yaml("  type: NodePort\n") + slices_yaml({&world.web}));
  REQUIRE(within(std::chrono::seconds(5), [&] { return answered_by(world, true) == "web"; }));
  std::ofstream(world.cluster.root("node-1").objects() / "broken.yaml") << "{apiVersion: v1, kind: Service";
  const auto status = [&] {
    std::ifstream file(world.cluster.root("node-1").run() / "agent.json");
    return nlohmann::json::parse(file, nullptr, false);
  };
  CHECK(within(std::chrono::seconds(5), [&] {
    const auto now = status();
    return now.is_object() && !now.at("problems").empty();
  }));
  CHECK(answered_by(world, true) == "web");
  CHECK(answered_by(world, false) == "web");
}

TEST_CASE("a Service takes the address of another over, and keeps it when the other goes") {
  const World world;
  world.apply(service_yaml() + slices_yaml({&world.web}));
  REQUIRE(within(std::chrono::seconds(5), [&] { return answered_by(world, true) == "web"; }));
  const auto renamed = [](std::string yaml) {
    const std::string from = "name: web", to = "name: heir";
    for (auto at = yaml.find(from); at != std::string::npos; at = yaml.find(from, at))
      yaml.replace(at, from.size(), to);
    return yaml;
  };
  world.apply(renamed(service_yaml() + slices_yaml({&world.two})));
  for (const bool v4 : kFamilies)
    REQUIRE(within(std::chrono::seconds(5), [&] { return answered_by(world, v4) == "two"; }));
  const auto services = must(maps::open<maps::Services>(world.cluster.root("node-1").maps()));
  const auto before = must(services.dump()).size();
  const auto backends = [&] {
    std::size_t count = 0;
    const auto all = must(maps::open<maps::Backends>(world.cluster.root("node-1").maps()));
    must(all.each([&](std::uint32_t, const maps::backend& one) { count += one.service != 0 ? 1 : 0; }));
    return count;
  };
  const auto backends_before = backends();
  REQUIRE(world.cluster.lab({"delete", TextFile(service_yaml()).path()}).status == 0);
  CHECK(within(std::chrono::seconds(5), [&] { return backends() < backends_before; }));
  CHECK(must(services.dump()).size() == before);
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    CHECK(answered_by(world, v4) == "two");
  }
}
