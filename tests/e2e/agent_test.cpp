// What the agent says of its work on objects, in agent.json.
#include <doctest/doctest.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/e2e/agent.hpp"
#include "tests/e2e/cluster.hpp"
#include "tests/e2e/socket.hpp"

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

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string balanced_yaml(int health_port, const std::string& ready_node) {
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: lb, namespace: shop}\nspec: {type: LoadBalancer, "
         "externalTrafficPolicy: Local, healthCheckNodePort: " +
         std::to_string(health_port) +
         ", clusterIP: 10.96.0.9, ports: [{port: 80, nodePort: 31000}]}\n"
         "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: lb-1, namespace: shop, labels: "
         "{kubernetes.io/service-name: lb}}\naddressType: IPv4\nports: [{port: 8080}]\nendpoints: [{addresses: "
         "[10.244.1.7], nodeName: " +
         ready_node + ", conditions: {ready: true}}]\n";
}

}  // namespace

TEST_CASE("the agent answers for the datapath's metrics and its own, and for its health") {
  const Cluster cluster(node_yaml(1));
  const auto root = cluster.root("node-1");
  const auto node = cluster.node("node-1");
  Agent agent(cluster, "node-1");
  const auto loopback = must(Address::parse("127.0.0.1"));
  const auto metrics = [&] { return page(node, loopback, 10249, "/metrics"); };
  const auto text = metrics();
  CHECK(text.starts_with("HTTP/1.1 200"));
  CHECK(has(text, "\nsluice_forward_packets_total{hook=\"from_pod\"} 0\n"));
  CHECK(has(text, "\nsluice_agent_objects{kind=\"Node\"} 1\n"));
  CHECK(has(text, "\nsluice_agent_part_failed{part=\"services\"} 0\n"));
  CHECK(has(text, "\nsluice_agent_problems 0\n"));
  for (const bool v4 : {true, false}) {
    CAPTURE(v4);
    const auto health = page(node, node.address(v4), 10256, "/healthz");
    CHECK_MESSAGE(health.starts_with("HTTP/1.1 200"), health);
    CHECK(has(health, "\"healthy\": true"));
    CHECK(page(node, node.address(v4), 10249, "/metrics").find("HTTP") == std::string::npos);  // of the loopback only
  }
  CHECK(page(node, loopback, 10256, "/metrics").starts_with("HTTP/1.1 404"));

  // What is wrong with the objects is told, and the node stays healthy.
  std::ofstream(root.objects() / "a.yaml") << "kind: [";
  CHECK(within(5s, [&] { return has(metrics(), "\nsluice_agent_problems 1\n"); }));
  const auto warned = page(node, loopback, 10256, "/healthz");
  CHECK(warned.starts_with("HTTP/1.1 200"));
  CHECK(has(warned, "\"a.yaml: "));

  // Another address by the configuration, and none.
  auto config = read_json(root.config_file());
  config["metricsAddress"] = "127.0.0.1:9999";
  config["healthAddress"] = "";
  std::ofstream(root.config_file()) << config.dump();
  agent.signal(SIGHUP);
  CHECK(within(5s, [&] { return page(node, loopback, 9999, "/metrics").starts_with("HTTP/1.1 200"); }));
  CHECK(!has(metrics(), "HTTP"));
  CHECK(!has(page(node, loopback, 10256, "/healthz"), "HTTP"));
  agent.stop(SIGTERM);
}

TEST_CASE("a load balancer that asks for a Service's health is told how many endpoints this node has") {
  const Cluster cluster(node_yaml(1));
  const auto root = cluster.root("node-1");
  const auto node = cluster.node("node-1");
  const Agent agent(cluster, "node-1");
  const auto answers = [&](std::uint16_t port, const std::string& status, const std::string& body) {
    return within(5s, [&] {
      const auto v4 = page(node, node.address(true), port, "/"), v6 = page(node, node.address(false), port, "/any");
      return v4.starts_with("HTTP/1.1 " + status) && has(v4, body) && v6.starts_with("HTTP/1.1 " + status);
    });
  };
  const auto write = [&](int port, const std::string& ready_node) {
    std::ofstream(root.objects() / "lb.yaml") << balanced_yaml(port, ready_node);
  };
  write(31234, "node-1");
  CHECK(answers(31234, "200", R"({"localEndpoints":1,"service":{"name":"lb","namespace":"shop"}})"));
  CHECK(has(page(node, node.address(true), 31234, "/"), "X-Load-Balancing-Endpoint-Weight: 1\r\n"));
  write(31234, "node-2");
  CHECK(answers(31234, "503", R"("localEndpoints":0)"));
  write(31235, "node-1");
  CHECK(answers(31235, "200", R"("localEndpoints":1)"));
  CHECK(!has(page(node, node.address(true), 31234, "/"), "HTTP"));
  std::filesystem::remove(root.objects() / "lb.yaml");
  CHECK(within(5s, [&] { return !has(page(node, node.address(true), 31235, "/"), "HTTP"); }));
}

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
