// bpfctl trace on a node of a lab: what it says is what happens, and it leaves nothing behind.
#include <cstring>

#include "maps/views.hpp"
#include "tests/cli/bpfctl.hpp"
#include "tests/e2e/agent.hpp"

using namespace sluice;
using namespace sluice::e2e;

namespace {

constexpr bool kFamilies[] = {true, false};

template <typename View>
void append(std::string& to, const loader::Root& root) {
  const auto add = [&](const auto& value) { to.append(reinterpret_cast<const char*>(&value), sizeof(value)); };
  const auto view = must(maps::open<View>(root.maps()));
  if constexpr (requires { view.dump(); }) {
    for (const auto& [key, value] : must(view.dump())) add(key), add(value);
  } else {
    for (std::uint32_t i = 0; i < must(view.capacity()); i++)
      for (const auto& value : must(view.lookup(i))) add(value);
  }
}

/// All that programs write, byte by byte.
std::string written(const loader::Root& root) {
  std::string all;
  append<maps::Flows>(all, root);
  append<maps::Fragments>(all, root);
  append<maps::Affinity>(all, root);
  append<maps::Metrics>(all, root);
  append<maps::Counters>(all, root);
  append<maps::ObserverFilters>(all, root);
  append<maps::Runtime>(all, root);
  return all;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string end(const Address& address, int port) {
  return (address.is_v4() ? address.text() : "[" + address.text() + "]") + ":" + std::to_string(port);
}

/// The answer with -o json, whatever the exit status.
nlohmann::json traced(const Bpfctl& bpfctl, Command words, int status = 0) {
  words.insert(words.begin(), "trace");
  words.insert(words.end(), {"-o", "json"});
  const auto outcome = bpfctl.run(words);
  REQUIRE_MESSAGE(outcome.status == status, outcome.output);
  return nlohmann::json::parse(outcome.output);
}

}  // namespace

TEST_CASE("a trace shows where a packet would go, from words and from addresses, and writes nothing") {
  const Bpfctl bpfctl;
  bpfctl.send_udp(true, 5300);
  const auto root = bpfctl.cluster.root("node-1");
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    const Address client = bpfctl.client.address(v4), web = bpfctl.web.address(v4);
    const auto by_name = traced(bpfctl, {"--from", "default/client", "--to", "web:80", v4 ? "-4" : "-6"});
    CHECK(by_name.at("hook") == "from_pod");
    CHECK(by_name.at("delivery") == "peer");
    CHECK(by_name.at("verdict") == "delivered to default/web");
    CHECK(by_name.at("sourceAddress") == client.text());
    CHECK(by_name.at("destinationAddress") == web.text());
    const auto by_address = traced(bpfctl, {"--from", client.text(), "--to", end(web, 80)});
    CHECK(by_address == by_name);
    const auto world =
        traced(bpfctl, {"--from", "client", "--to", v4 ? "198.51.100.9:443/udp" : "[2001:db8::9]:443/udp"});
    CHECK(world.at("delivery") == "stack");
    CHECK(world.at("protocol") == "udp");
    const auto probe = traced(bpfctl, {"--from", "node", "--to", end(web, 8080)});
    CHECK(probe.at("hook") == "to_pod");
    CHECK(probe.at("verdict") == "delivered to default/web");
    const auto ping = traced(bpfctl, {"--from", "client", "--to", web.text() + "/icmp"});
    CHECK(ping.at("protocol") == (v4 ? "icmp" : "icmpv6"));
    CHECK(ping.at("delivered") == true);
    const auto dies = traced(bpfctl, {"--from", "client", "--to", end(web, 80), "--ttl", "1"}, 4);
    CHECK(dies.at("reason") == "TTL_EXPIRED");
    CHECK(dies.at("answeredWith") == "ICMP error");
    const auto large = traced(bpfctl, {"--from", "client", "--to", end(web, 80), "--size", "3000"}, 4);
    CHECK(large.at("reason") == "TOO_BIG");
  }
  const auto whole = traced(bpfctl, {"--from", "client", "--to", "web:80", "--size", "3000", "--may-fragment"});
  CHECK(has(whole.at("verdict"), "which fragments it"));
  // The node has traffic of its own now and then; a trace that wrote would do so each time.
  bool wrote_nothing = false;
  for (int attempt = 0; attempt < 10 && !wrote_nothing; attempt++) {
    const std::string before = written(root);
    (void)traced(bpfctl, {"--from", "client", "--to", "web:80"});
    (void)traced(bpfctl, {"--from", "client", "--to", "web:80", "--ttl", "1"}, 4);
    wrote_nothing = written(root) == before;
  }
  CHECK(wrote_nothing);
  const auto text = bpfctl.run({"trace", "--from", "client", "--to", "web:80"}).output;
  CHECK_MESSAGE(has(text, "Verdict         delivered to default/web\n"), text);
}

TEST_CASE("a trace of a known connection says so, and its port otherwise is of none") {
  const Bpfctl bpfctl;
  const auto server = must(Socket::udp(bpfctl.web.netns, bpfctl.web.address(true), 5300));
  const auto sender = must(Socket::udp(bpfctl.client.netns, bpfctl.client.address(true), 40000));
  must(sender.send_to("question", bpfctl.web.address(true), 5300));
  const std::string web = end(bpfctl.web.address(true), 5300) + "/udp";
  const auto known = traced(bpfctl, {"--from", end(bpfctl.client.address(true), 40000), "--to", web});
  CHECK(known.at("known") == true);
  CHECK(has(known.at("connection"), "opening"));
  CHECK(has(known.at("connection"), "which is in force"));
  const auto other = traced(bpfctl, {"--from", "client", "--to", web});
  CHECK(other.at("known") == false);
  CHECK(other.at("sourcePort") == 40001);
  const auto answer = traced(
      bpfctl, {"--from", web.substr(0, web.size() - 4), "--to", end(bpfctl.client.address(true), 40000) + "/udp"});
  CHECK(has(answer.at("connection"), "answer of a known one"));
}

TEST_CASE("a trace names Service, backend and rule, and says what happens then") {
  const Cluster cluster(node_yaml(1) + pod_yaml("client", "node-1") + pod_yaml("web", "node-1"));
  const Place client = cluster.pod("client"), web = cluster.pod("web");
  const Agent agent(cluster, "node-1");
  const auto trace = [&](Command words, int status) {
    Command all{"bpfctl", "trace"};
    all.insert(all.end(), words.begin(), words.end());
    all.insert(all.end(), {"-o", "json"});
    const auto outcome = cluster.on_node("node-1", all);
    CHECK_MESSAGE(outcome.status == status, outcome.output);
    return nlohmann::json::parse(outcome.output);
  };
  const auto apply = [&](const std::string& yaml) {
    const TextFile file(yaml);
    const auto outcome = cluster.lab({"apply", file.path()});
    REQUIRE_MESSAGE(outcome.status == 0, outcome.output);
  };
  apply(R"(---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: default}
spec: {type: NodePort, clusterIPs: [10.96.0.1], ipFamilies: [IPv4], ports: [{name: tcp, port: 80, targetPort: 8080,
  nodePort: 30080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-4, namespace: default, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{name: tcp, port: 8080, protocol: TCP}]
endpoints: [{addresses: [")" +
        web.address(true).text() + "\"], nodeName: node-1}]\n");
  const Command to_shop{"--from", "default/client", "--to", "default/shop:80"};
  REQUIRE(within(std::chrono::seconds(5), [&] {
    return has(cluster.on_node("node-1", {"bpfctl", "map", "dump", "services"}).output, "10.96.0.1:80");
  }));
  const auto allowed = trace(to_shop, 0);
  CHECK(has(allowed.at("service"), "default/shop (number "));
  CHECK(allowed.at("backend") == web.address(true).text() + ":8080");
  CHECK(allowed.at("verdict") == "delivered to default/web");
  CHECK(allowed.at("ingressVerdict").is_null());
  CHECK(trace({"--from", "client", "--to", "10.96.0.1:81"}, 4).at("reason") == "NO_BACKEND");
  const std::string outside = "198.51.100.9", node = cluster.node("node-1").address(true).text();
  const auto asked = trace({"--from", outside, "--to", node + ":30080"}, 0);
  CHECK(asked.at("hook") == "from_uplink");
  CHECK(asked.at("backend") == web.address(true).text() + ":8080");
  CHECK(asked.at("verdict") == "delivered to default/web");
  const auto called = trace({"--from", "node", "--to", "default/shop:80"}, 0);
  CHECK(called.at("hook") == "to_pod");
  CHECK(called.at("backend") == web.address(true).text() + ":8080");
  CHECK(has(called.at("socket"), "a call to 10.96.0.1:80, Service default/shop (number "));
  CHECK(called.at("verdict") == "delivered to default/web");
  CHECK(trace({"--from", "node", "--to", "127.0.0.1:30080"}, 0).at("backend") == called.at("backend"));
  const auto fails = trace({"--from", "node", "--to", "10.96.0.1:81"}, 4);
  CHECK(fails.at("reason") == "NO_BACKEND");
  CHECK(has(fails.at("verdict"), "the call fails"));
  const auto none = trace({"--from", outside, "--to", node + ":30081"}, 0);
  CHECK(none.at("hook") == "from_uplink");
  CHECK(has(none.at("verdict"), "handed to the host's stack: it is of no Service"));
  CHECK(trace({"--from", outside, "--to", web.address(true).text() + ":8080"}, 0).at("hook") == "to_pod");

  apply(R"(---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nobody, namespace: default}
spec: {podSelector: {}, ingress: [{ports: [{port: 9090}]}]}
)");
  REQUIRE(within(std::chrono::seconds(5), [&] {
    return cluster.on_node("node-1", {"bpfctl", "trace", "--from", "client", "--to", "web:8080"}).status == 4;
  }));
  CHECK(trace({"--from", outside, "--to", node + ":30080"}, 4).at("reason") == "POLICY_INGRESS");
  const auto denied = trace(to_shop, 4);
  CHECK(denied.at("reason") == "POLICY_INGRESS");
  CHECK(denied.at("ingressVerdict") == "deny");
  CHECK(denied.at("ingressRuleSet") > 0);
  // The agent writes words down a little later than rules into the maps.
  CHECK(within(std::chrono::seconds(5), [&] {
    return has(trace(to_shop, 4).at("ingress"), "denied: isolated by NetworkPolicy default/nobody, no rule allows");
  }));
  CHECK(has(trace({"--from", "client", "--to", "web:9090"}, 0).at("ingress"),
            "allowed by NetworkPolicy default/nobody, ingress rule 1"));
  CHECK(trace({"--from", "client", "--to", "web:9090"}, 0).at("ingressVerdict") == "allow");
  CHECK(trace({"--from", "client", "--to", "web:9090"}, 0).at("ingressRule") > 0);
  CHECK(has(trace({"--from", "node", "--to", "web:8080"}, 0).at("ingress"), "its node always reaches a pod"));
  // The program that is attached says the same.
  const auto refused = Socket::tcp_connected(client.netns, web.address(true), 9090);
  CHECK(refused.failed_with(ECONNREFUSED));  // it arrives, and nobody listens
}

TEST_CASE("a trace that cannot be made says why") {
  const Bpfctl bpfctl;
  const struct {
    Command words;
    int status;
    const char* says;
  } rows[] = {{{"--from", "nobody", "--to", "web:80"}, 3, "no pod default/nobody on this node"},
              {{"--from", "client", "--to", "web"}, 1, "tcp needs a port to go to"},
              {{"--from", "client", "--to", "web:80/icmp"}, 1, "ICMP has no ports"},
              {{"--from", "node", "--to", "192.0.2.2:80"}, 1, "nor 192.0.2.2 is a pod of this node"},
              {{"--from", "192.0.2.1", "--to", "[fd00::1]:80"}, 1, "have no address of the same family"},
              {{"--from", "client", "--to", "web:80", "--flags", "X"}, 2, "are no TCP flags"},
              {{"--from", "client", "--to", "web:0"}, 2, "is no end of a packet"},
              {{"--to", "web:80"}, 2, "--from is required"}};
  for (const auto& row : rows) {
    Command words{"trace"};
    words.insert(words.end(), row.words.begin(), row.words.end());
    const auto outcome = bpfctl.run(words);
    CHECK(outcome.status == row.status);
    CHECK_MESSAGE(has(outcome.output, row.says), outcome.output);
  }
}
