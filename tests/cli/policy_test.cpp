// bpfctl policy, and what flow watch says of denied packets, over an agent with its objects.
#include <doctest/doctest.h>
#include <signal.h>

#include <future>
#include <nlohmann/json.hpp>

#include "tests/e2e/agent.hpp"
#include "tests/e2e/cluster.hpp"
#include "tests/e2e/socket.hpp"

using namespace sluice;
using namespace sluice::e2e;
using nlohmann::json;

namespace {

constexpr std::chrono::seconds kSoon{10};

std::string pod(const std::string& name) {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", labels: {app: " + name +
         "}}\nspec: {nodeName: node-1, containers: [{name: c}]}\n";
}

constexpr const char* kPolicies = R"(---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: default}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - {from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 8080, protocol: UDP}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: no-telnet}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  egress:
    - {name: telnet, action: Deny, to: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 23}}}]}
)";

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

struct World {
  Cluster cluster{node_yaml(1) + pod("client") + pod("other") + pod("web")};
  Agent agent{cluster, "node-1"};

  World() {
    const TextFile file(kPolicies);
    const auto outcome = cluster.lab({"apply", file.path()});
    REQUIRE_MESSAGE(outcome.status == 0, outcome.output);
    REQUIRE(within(kSoon, [&] { return json_of({"policy", "list"}).size() == 2; }));
  }

  [[nodiscard]] Outcome run(const Command& words) const {
    Command all{binary("sluice-lab").string(), "--name", cluster.name(), "node", "node-1", "--", "bpfctl"};
    all.insert(all.end(), words.begin(), words.end());
    return e2e::run(all);
  }
  [[nodiscard]] json json_of(Command words) const {
    words.insert(words.end(), {"-o", "json"});
    const auto outcome = run(words);
    REQUIRE_MESSAGE(outcome.status == 0, outcome.output);
    return json::parse(outcome.output);
  }
  [[nodiscard]] Outcome check(const std::string& from, const std::string& to, const std::string& port) const {
    return run({"policy", "check", "--from", from, "--to", to, "--port", port});
  }
};

}  // namespace

TEST_CASE("policies are listed with the pods that they select, and told in words with the rule sets they become") {
  const World world;
  const auto list = world.json_of({"policy", "list"});
  CHECK(list[0].at("policy") == "ClusterNetworkPolicy no-telnet");
  CHECK(list[0].at("pods").size() == 3);
  CHECK(list[1].at("policy") == "NetworkPolicy default/web");
  CHECK(list[1].at("direction") == "ingress");
  CHECK(list[1].at("pods") == json{"default/web"});

  const auto web = world.json_of({"policy", "get", "default/web"});
  REQUIRE(web.size() == 1);
  CHECK(web[0].at("selects") == "pods app=web in namespace default");
  CHECK(web[0].at("rules")[0].at("peers") == "from pods app=client in this namespace");
  CHECK(web[0].at("rules")[0].at("ports") == "UDP 8080");
  CHECK(has(world.run({"policy", "get", "no-telnet"}).output, "telnet"));

  const auto sets = world.json_of({"policy", "list", "--sets"});
  const auto ingress =
      std::ranges::find_if(sets, [](const auto& set) { return set.at("pods") == json{"default/web"}; });
  REQUIRE(ingress != sets.end());
  const auto compiled = world.json_of({"policy", "get", ingress->at("ruleSet").dump()});
  REQUIRE(compiled[0].at("rules").size() == 1);
  CHECK(compiled[0].at("rules")[0].at("ports") == "udp 8080");
  CHECK(compiled[0].at("rules")[0].at("peers") == json{"default/client"});
  CHECK(compiled[0].at("rules")[0].at("by") == "NetworkPolicy default/web, ingress rule 1");
  // The egress of all three is one rule set.
  CHECK(std::ranges::any_of(sets, [](const auto& set) { return set.at("podCount") == 3; }));

  CHECK(world.run({"policy", "get", "default/nobody"}).status == 3);
  CHECK(world.run({"policy", "get", "60000"}).status == 3);
  const auto usage = world.json_of({"policy", "usage"});
  CHECK(usage.at("maps").size() == 4);
  CHECK(usage.at("sharing")[0].at("number") == 2);
  CHECK(usage.at("sharing")[0].at("users") == 4);
  CHECK(has(world.run({"complete", "--", "policy", "get", "def"}).output, "default/web\n"));
}

TEST_CASE("a connection is checked at both ends, with the rule that decides or who isolates the pod") {
  const World world;
  const struct {
    const char *from, *to, *port;
    int status;
    const char* words;
  } rows[] = {
      {"default/client", "default/web", "8080/udp", 0, "by NetworkPolicy default/web, ingress rule 1"},
      {"client", "web", "8081/udp", 1,
       "denied: ingress of default/web: isolated by NetworkPolicy default/web, no rule allows"},
      {"other", "web", "8080/udp", 1,
       "denied: ingress of default/web: isolated by NetworkPolicy default/web, no rule allows"},
      {"client", "other", "23", 1,
       "denied: egress of default/client: by ClusterNetworkPolicy no-telnet, egress rule 1 (telnet)"},
      {"client", "other", "24", 0, "no policy selects it"},
      {"web", "192.0.2.1", "icmp", 0, "none of them says anything of this"},
      {"192.0.2.1", "web", "80", 1, "isolated by NetworkPolicy default/web"},
      {"web", "web", "80", 0, "a pod always reaches itself"},
      {"nobody", "web", "80", 3, "no pod default/nobody is known here"},
      {"192.0.2.1", "192.0.2.2", "80", 1, "neither end is a pod of this node"},
      {"192.0.2.1", "fd00::1", "80", 1, "no address of one family"},
      {"client", "web", "udp/80", 2, "is not a port"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.from);
    CAPTURE(row.to);
    const auto outcome = world.check(row.from, row.to, row.port);
    CHECK(outcome.status == row.status);
    CHECK_MESSAGE(has(outcome.output, row.words), outcome.output);
  }
  const auto both = world.json_of({"policy", "check", "--from", "client", "--to", "web", "--port", "8080/udp"});
  CHECK(both.size() == 4);  // a row for each end and family
  for (const auto& row : both) CHECK(row.at("verdict") == "allow");
}

TEST_CASE("a denied packet is watched with its reason in words") {
  const World world;
  const Place other = world.cluster.pod("other"), web = world.cluster.pod("web"), client = world.cluster.pod("client");
  auto watcher = std::async(std::launch::async, [&] {
    return world.run({"flow", "watch", "--event", "dropped", "--address", other.address(true).text(), "--count", "2",
                      "--timeout", "10"});
  });
  // The slot is taken a moment before the filter stands in it.
  REQUIRE(within(kSoon, [&] {
    const auto observers = world.json_of({"status"}).at("observers");
    return observers.size() == 1 && !observers[0].at("events").empty();
  }));
  const Socket sender = must(Socket::udp(other.netns, other.address(true)));
  must(sender.send_to("x", web.address(true), 8080));
  (void)Socket::tcp_connected(client.netns, other.address(true), 23);
  const auto outcome = watcher.get();
  CHECK(outcome.status == 0);
  CHECK_MESSAGE(has(outcome.output,
                    "POLICY_INGRESS: ingress policy of the receiver does not allow it (isolated by "
                    "NetworkPolicy default/web, no rule allows)"),
                outcome.output);
  CHECK_MESSAGE(has(outcome.output, "(by ClusterNetworkPolicy no-telnet, egress rule 1 (telnet))"), outcome.output);
}

TEST_CASE("without what the agent writes down there are numbers, and it is said why") {
  World world;
  world.agent.stop(SIGKILL);
  // What is in force is told without a daemon.
  CHECK(world.check("other", "web", "8080/udp").status == 1);
  std::filesystem::remove(world.cluster.root("node-1").run() / "policy.json");
  const auto outcome = world.check("other", "web", "8080/udp");
  CHECK(outcome.status == 1);
  CHECK_MESSAGE(has(outcome.output, "rules have numbers only: no sluiced has written policy.json"), outcome.output);
  CHECK_MESSAGE(has(outcome.output, "denied: ingress of default/web: isolated, no rule allows"), outcome.output);
  CHECK(has(world.run({"policy", "list"}).output, "RULE SET"));
  CHECK(world.run({"policy", "get", "default/web"}).status == 3);
}
