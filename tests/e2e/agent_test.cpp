// What the agent says of its work on objects, in agent.json.
#include <doctest/doctest.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/e2e/agent.hpp"
#include "tests/e2e/cluster.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr int kRoom = 64;
constexpr int kMany = 100;

json read_json(const std::filesystem::path& file) {
  std::ifstream stream(file);
  return json::parse(stream, nullptr, false);
}

std::string service_yaml(int number) {
  const auto n = std::to_string(number);
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: s" + n + "}\nspec: {clusterIP: 10.96.0." + n +
         ", ports: [{port: 80}]}\n";
}

}  // namespace

TEST_CASE("what does not fit is said in the status with its cause, and applied as soon as there is room") {
  const Cluster cluster(node_yaml(1));
  const auto root = cluster.root("node-1");
  auto config = read_json(root.config_file());
  config["maps"]["services"] = kRoom;
  std::ofstream(root.config_file()) << config.dump();
  Agent agent(cluster, "node-1");
  const auto part = [&]() -> json {
    const auto status = read_json(root.run() / "agent.json");
    if (status.is_object())
      for (const json& one : status.at("parts"))
        if (one.at("name") == "services") return one;
    return json::object();
  };
  REQUIRE(part().at("failure") == "");

  std::string many;
  for (int i = 1; i <= kMany; ++i) many += service_yaml(i);
  std::ofstream(root.objects() / "many.yaml") << many;
  CHECK(within(5s, [&] { return part().value("failure", "").find("services") != std::string::npos; }));
  CHECK(part().at("pending") == kMany);
  std::ofstream(root.objects() / "many.yaml") << service_yaml(1);
  CHECK(within(5s, [&] { return part().value("failure", "?").empty(); }));
  CHECK(part().at("pending") == 0);
  CHECK(part().at("applied").get<std::string>().starts_with("20"));
  agent.stop(SIGTERM);
}

TEST_CASE("a broken file is in the status until it is right or gone, whatever else changes") {
  const Cluster cluster(node_yaml(1));
  const auto root = cluster.root("node-1");
  const Agent agent(cluster, "node-1");
  const auto status = [&] { return read_json(root.run() / "agent.json"); };
  const auto count = [&](std::size_t problems, int services) {
    return within(5s, [&] {
      const auto now = status();
      return now.is_object() && now.at("problems").size() == problems &&
             now.at("objects").value("Service", 0) == services;
    });
  };
  std::ofstream(root.objects() / "a.yaml") << service_yaml(1);
  CHECK(count(0, 1));
  std::ofstream(root.objects() / "a.yaml") << "kind: [";
  CHECK(count(1, 1));
  CHECK(status().at("problems")[0].at("file") == "a.yaml");
  std::ofstream(root.objects() / "b.yaml") << service_yaml(2);
  CHECK(count(1, 2));
  std::filesystem::remove(root.objects() / "a.yaml");
  CHECK(count(0, 1));
}
