// bpfctl service, backend and nat, and the names of Services in the flow verbs, over an agent with its objects.
#include <doctest/doctest.h>
#include <signal.h>

#include <cmath>
#include <future>
#include <nlohmann/json.hpp>

#include "tests/e2e/service_world.hpp"

using namespace sluice;
using namespace sluice::e2e;
using nlohmann::json;

namespace {

constexpr std::chrono::seconds kSoon{10};

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// The Service default/web with both pods behind it, of which two has a ninth of the connections, and one that is
/// headless.
struct Shop {
  World world;

  Shop() {
    std::string service = service_yaml("  type: NodePort\n  externalTrafficPolicy: Local\n");
    const std::string plain = "metadata: {name: web, namespace: default}";
    service.replace(service.find(plain), plain.size(),
                    "metadata: {name: web, namespace: default, annotations: {sluice.dev/weights: \"10.0.0.9=5, " +
                        world.web.address(true).text() + "=8, " + world.web.address(false).text() + "=8\"}}");
    const std::string port = "port: 80, targetPort: 8080}, {name: udp";
    service.replace(service.find(port), port.size(), "port: 80, targetPort: 8080, nodePort: 30080}, {name: udp");
    std::string slices = slices_yaml({&world.web, &world.two});
    slices +=
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-far, namespace: default, "
        "labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nports: [{name: tcp, port: 8080, protocol: "
        "TCP}]\nendpoints:\n- {addresses: [10.244.2.9], nodeName: node-2, targetRef: {kind: Pod, name: far}}\n"
        "- {addresses: [10.244.2.10], nodeName: node-2, conditions: {ready: false}}\n";
    world.apply(service + slices +
                "---\napiVersion: v1\nkind: Service\nmetadata: {name: bare}\nspec: {clusterIP: None}\n");
    // In the maps at once, written down half a second later.
    REQUIRE(within(kSoon, [&] {
      const auto all = json_of({"service", "list"});
      return all.size() == 6 && all[0].at("service") == "default/web";
    }));
  }

  [[nodiscard]] std::filesystem::path record() const { return world.cluster.root("node-1").run() / "services.json"; }
  [[nodiscard]] Outcome run(const Command& words) const {
    Command all{binary("sluice-lab").string(), "--name", world.cluster.name(), "node", "node-1", "--", "bpfctl"};
    all.insert(all.end(), words.begin(), words.end());
    return e2e::run(all);
  }
  [[nodiscard]] json json_of(Command words) const {
    words.insert(words.end(), {"-o", "json"});
    const auto outcome = run(words);
    REQUIRE_MESSAGE(outcome.status == 0, outcome.output);
    return json::parse(outcome.output.substr(outcome.output.find_first_of("[{")));
  }
  [[nodiscard]] std::string end(const Place& pod) const { return pod.address(true).text() + ":8080"; }
};

const json& only(const json& list, const char* key, const std::string& value) {
  const auto found = std::ranges::find_if(list, [&](const json& one) { return one.at(key) == value; });
  REQUIRE_MESSAGE(found != list.end(), list.dump(1));
  return *found;
}

bool near(const json& share, double wanted) { return std::abs(share.get<double>() - wanted) < 1e-6; }

}  // namespace

TEST_CASE("Services are listed by their addresses, with policy, algorithm and shares of new connections") {
  const Shop shop;
  const auto list = shop.json_of({"service", "list"});
  const auto& cluster = only(list, "frontend", "10.96.0.1:80");
  CHECK(cluster.at("service") == "default/web");
  CHECK(cluster.at("type") == "ClusterIP");
  CHECK(cluster.at("policy") == "Cluster");
  CHECK(cluster.at("algorithm") == "random");
  CHECK(cluster.at("portName") == "tcp");
  const auto& heavy = only(cluster.at("backends"), "backend", shop.end(shop.world.web));
  CHECK(near(heavy.at("share"), 0.8));  // 8 of 8 + 1 + 1
  CHECK(heavy.at("shareOutside").is_null());
  const auto& node_port = only(list, "frontend", "172.18.0.11:30080");
  CHECK(node_port.at("type") == "NodePort");
  CHECK(node_port.at("policy") == "Local");
  CHECK(near(only(node_port.at("backends"), "backend", shop.end(shop.world.web)).at("shareOutside"), 8.0 / 9));
  CHECK(near(only(node_port.at("backends"), "backend", "10.244.2.9:8080").at("shareOutside"), 0));
  const auto table = shop.run({"service", "list"}).output;
  CHECK_MESSAGE(has(table, shop.end(shop.world.web) + " 80 %"), table);
  CHECK(!has(table, "bare"));

  const auto got = shop.json_of({"service", "get", "web"});
  REQUIRE(got.size() == 1);
  CHECK(got[0].at("externalTrafficPolicy") == "Local");
  CHECK(got[0].at("frontends").size() == 6);
  CHECK(shop.json_of({"service", "get", "10.96.0.1"}) == got);
  CHECK(shop.json_of({"service", "get", got[0].at("number").dump()}) == got);
  CHECK(only(got[0].at("backends"), "backend", "10.244.2.10:8080").at("state") == "gone");
  CHECK(only(got[0].at("backends"), "backend", shop.end(shop.world.two)).at("pod") == "default/two");
  const auto nobody = shop.run({"service", "get", "default/nobody"});
  CHECK(nobody.status == 3);
  CHECK(has(nobody.output, "no Service default/nobody in force here"));
  CHECK(has(shop.run({"complete", "--", "service", "get", "def"}).output, "default/web\n"));
  CHECK(has(shop.run({"complete", "--", "service", ""}).output, "explain\nget\nlist\n"));

  const auto backends = shop.json_of({"backend", "list", "--service", "web", "--address", "10.244.2.0/24"});
  CHECK(backends.size() == 2 * 2);  // a number for each port of the Service, whether its slice has it or not
  CHECK(only(backends, "backend", "10.244.2.9:8080").at("local") == false);
  CHECK(only(shop.json_of({"backend", "list"}), "backend", shop.end(shop.world.web)).at("pod") == "default/web");
}

TEST_CASE("an explanation says of each endpoint why it is used here or not, beside what the maps have") {
  const Shop shop;
  const auto told = shop.json_of({"service", "explain", "default/web:tcp"});
  CHECK(told.at("node") == "node-1");
  CHECK(told.at("balanced") == true);
  const auto& endpoints = told.at("endpoints");
  CHECK(endpoints.size() == 4 + 2);
  const auto& here = only(endpoints, "endpoint", shop.end(shop.world.web));
  CHECK(here.at("cluster") == "used: ready");
  CHECK(here.at("local") == "used: ready");
  CHECK(here.at("weight") == 8);
  CHECK(here.at("state") == "serving");
  const auto& far = only(endpoints, "endpoint", "10.244.2.9:8080");
  CHECK(far.at("pod") == "far");
  CHECK(far.at("local") == "not used: the traffic policy is Local and it is on another node");
  const auto& unready = only(endpoints, "endpoint", "10.244.2.10:8080");
  CHECK(unready.at("cluster") == "not used: not ready");
  CHECK(unready.at("condition") == "not ready");
  CHECK(unready.at("state") == "gone");
  const auto bare = shop.run({"service", "explain", "bare"});
  CHECK(bare.status == 0);
  CHECK_MESSAGE(has(bare.output, "no: it is headless"), bare.output);
  CHECK(shop.run({"service", "explain", "web:ftp"}).status == 3);
  CHECK(shop.run({"service", "explain", "nobody"}).status == 3);
  CHECK(shop.run({"service", "explain", "a/b/c"}).status == 2);
}

TEST_CASE(
    "flows are listed and watched with the Service that they were asked for by, and translations with both sides") {
  const Shop shop;
  auto watcher = std::async(std::launch::async, [&] {
    return shop.run(
        {"flow", "watch", "--event", "new", "--address", "10.96.0.1", "--count", "1", "--timeout", "10", "-o", "json"});
  });
  REQUIRE(within(kSoon, [&] {
    const auto observers = shop.json_of({"status"}).at("observers");
    return observers.size() == 1 && !observers[0].at("events").empty();
  }));
  const Socket asks = must(Socket::udp(shop.world.client.netns, shop.world.client.address(true)));
  must(asks.send_to("question", vip(true), kServicePort));
  const auto outcome = watcher.get();
  REQUIRE_MESSAGE(outcome.status == 0, outcome.output);
  const auto event = json::parse(outcome.output);
  CHECK(event.at("service") == "default/web");
  CHECK_MESSAGE(has(event.at("detail"), " of default/web"), event.at("detail"));

  const auto flows = shop.json_of({"flow", "list", "--address", "10.96.0.1"});
  REQUIRE(flows.size() == 1);
  CHECK(flows[0].at("service") == "default/web");
  const auto wide = shop.run({"flow", "list", "--address", "10.96.0.1", "-o", "wide"}).output;
  CHECK_MESSAGE(has(wide, "default/web"), wide);
  const auto nat = shop.json_of({"nat", "list", "--pod", "client"});
  REQUIRE(nat.size() == 1);
  CHECK(nat[0].at("kind") == "service");
  CHECK(nat[0].at("service") == "default/web");
  CHECK(nat[0].at("destination") == "10.96.0.1:80");
  CHECK(nat[0].at("backend") == flows[0].at("backend"));
  CHECK(nat[0].at("seenAs").is_null());
  CHECK(shop.json_of({"nat", "list", "--port", "81"}).empty());
}

TEST_CASE("Services are told without an agent, by their numbers where nobody has written names down") {
  Shop shop;
  shop.world.agent.stop(SIGKILL);
  CHECK(only(shop.json_of({"service", "list"}), "frontend", "10.96.0.1:80").at("service") == "default/web");
  CHECK(shop.json_of({"service", "explain", "web"}).at("endpoints").size() > 0);
  std::filesystem::remove(shop.record());
  const auto outcome = shop.run({"service", "list"});
  CHECK(outcome.status == 0);
  CHECK_MESSAGE(
      has(outcome.output, "Services have numbers only, as the maps know them: no sluiced has written services.json"),
      outcome.output);
  const auto row = only(shop.json_of({"service", "list"}), "frontend", "10.96.0.1:80");
  CHECK(row.at("service").get<std::string>().starts_with("number "));
  CHECK(row.at("type") == "ClusterIP");
  const auto explained = shop.run({"service", "explain", "web"});
  CHECK(explained.status == 3);
  CHECK_MESSAGE(has(explained.output, "which node this is, sluiced writes down"), explained.output);
}
