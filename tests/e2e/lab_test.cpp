#include <doctest/doctest.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "tests/e2e/cluster.hpp"
#include "tests/e2e/socket.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;

namespace {

constexpr const char* kPolicy = R"(---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
)";

std::string slurp(const std::filesystem::path& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

Outcome lab_with(const Cluster& cluster, const char* verb, const std::string& yaml) {
  const TextFile file(yaml);
  return cluster.lab({verb, file.path()});
}

bool ping(const Cluster& cluster, const std::string& from, const Place& to) {
  return cluster.exec(from, {"ping", "-c1", "-W2", to.address(true).text()}).status == 0;
}

}  // namespace

TEST_CASE("list tells nodes and pods with their network namespaces, roots and addresses") {
  const Cluster cluster;
  const auto list = nlohmann::json::parse(cluster.lab({"list", "-o", "json"}).output);
  REQUIRE(list.at("nodes").size() == 2);
  for (const auto& node : list.at("nodes")) {
    CHECK(loader::net::Netns::open(node.at("netns").get<std::string>()));
    CHECK(std::filesystem::is_directory(node.at("root").get<std::string>() + "/sys/fs/bpf/sluice"));
  }
  CHECK(list.at("nodes")[1].at("name") == "node-2");
  REQUIRE(list.at("pods").size() == 4);
  std::set<std::string> addresses;
  for (const auto& pod : list.at("pods")) {
    CHECK(pod.at("namespace") == "default");
    const auto netns = must(loader::net::Netns::open(pod.at("netns").get<std::string>()));
    CHECK_FALSE(netns.same_as(must(loader::net::Netns::current())));
    REQUIRE(pod.at("ips").size() == 2);
    const std::string number = pod.at("node") == "node-1" ? "1" : "2";
    const auto v4 = must(Prefix::parse("10.244." + number + ".0/24"));
    const auto v6 = must(Prefix::parse("fd00:10:244:" + number + "::/64"));
    CHECK(v4.contains(must(Address::parse(pod.at("ips")[0].get<std::string>()))));
    CHECK(v6.contains(must(Address::parse(pod.at("ips")[1].get<std::string>()))));
    for (const auto& ip : pod.at("ips")) addresses.insert(ip);
  }
  CHECK(addresses.size() == 8);
  const auto table = cluster.lab({"list"}).output;
  CHECK(table.find("default/client  node-1") != std::string::npos);
}

TEST_CASE("exec keeps input, output and exit status, in the pod's network") {
  const Cluster cluster;
  const auto outcome = cluster.exec("default/web", {"sh", "-c", "read word; echo got $word; exit 7"}, "hello\n");
  CHECK(outcome.output == "got hello\n");
  CHECK(outcome.status == 7);
  CHECK(cluster.exec("web", {"sh", "-c", "kill -9 $$"}).status == 128 + SIGKILL);
  CHECK(cluster.exec("web", {"ip", "-o", "addr"}).output.find(cluster.pod("web").address(true).text()) !=
        std::string::npos);
  CHECK(cluster.exec("web", {"no-such-command"}).status == 127);
  CHECK(cluster.exec("web", {"/"}).status == 126);
  const auto missing = cluster.exec("other/web", {"true"});
  CHECK(missing.status != 0);
  CHECK(missing.output.find("there is no Pod other/web") != std::string::npos);
}

TEST_CASE("a command on a node finds the node's root and the programs of the build") {
  const Cluster cluster;
  const auto outcome = cluster.on_node("node-2", {"sh", "-c", "echo $SLUICE_ROOT; command -v sluice-cni"});
  CHECK(outcome.output == cluster.root("node-2").prefix().string() + "\n" + binary("sluice-cni").string() + "\n");
  CHECK(cluster.on_node("node-3", {"true"}).output.find("there is no Node node-3") != std::string::npos);
}

TEST_CASE("apply makes what is not there and leaves the rest as it is") {
  const Cluster cluster(node_yaml(1) + pod_yaml("a", "node-1"));
  const auto before = cluster.lab({"list", "-o", "json"}).output;
  const auto same = lab_with(cluster, "apply", node_yaml(1) + pod_yaml("a", "node-1"));
  CHECK(same.status == 0);
  CHECK(same.output == "node/node-1 unchanged\npod/default/a unchanged\n");
  CHECK(cluster.lab({"list", "-o", "json"}).output == before);

  const auto more = lab_with(cluster, "apply", node_yaml(2) + pod_yaml("b", "node-1") + pod_yaml("c", "node-2"));
  CHECK_MESSAGE(more.status == 0, more.output);
  CHECK(ping(cluster, "a", cluster.pod("b")));
  CHECK(
      Socket::tcp_connected(cluster.pod("c").netns, cluster.node("node-2").address(true), 9).failed_with(ECONNREFUSED));

  const auto moved = lab_with(cluster, "apply", pod_yaml("a", "node-2"));
  CHECK(moved.status == 1);
  CHECK(moved.output.find("Pod default/a: node and network of a Pod that is there cannot change") != std::string::npos);
}

TEST_CASE("delete removes what is named, a node with its pods, and a second time does nothing") {
  const Cluster cluster;
  const auto web = pod_yaml("web", "node-1");
  CHECK(lab_with(cluster, "delete", web).output == "pod/default/web deleted\n");
  CHECK(lab_with(cluster, "delete", web).output == "pod/default/web is not there\n");
  CHECK(cluster.exec("web", {"true"}).status != 0);
  CHECK(cluster.on_node("node-1", {"ip", "-o", "link"}).output.find("slu") != std::string::npos);  // that of client

  const auto gone = lab_with(cluster, "delete", node_yaml(1));
  CHECK_MESSAGE(gone.output == "pod/default/client deleted\nnode/node-1 deleted\n", gone.output);
  CHECK(nlohmann::json::parse(cluster.lab({"list", "-o", "json"}).output).at("pods").size() == 2);
  CHECK(cluster.on_node("node-2", {"ip", "route"}).output.find("172.18.0.11") == std::string::npos);
  CHECK(cluster.lab({"apply", kTwoNodes}).status == 0);
  CHECK(ping(cluster, "client", cluster.pod("web")));
}

TEST_CASE("a deleted pod's address and interface are free again") {
  const Cluster cluster(node_yaml(1));
  for (int i = 0; i < 3; ++i) {
    CHECK(lab_with(cluster, "apply", pod_yaml("a", "node-1")).status == 0);
    CHECK(lab_with(cluster, "delete", pod_yaml("a", "node-1")).status == 0);
  }
  CHECK(cluster.on_node("node-1", {"ip", "-o", "link"}).output.find("slu") == std::string::npos);
  CHECK(std::filesystem::is_empty(cluster.root("node-1").state() / "attachments"));
}

TEST_CASE("objects of other kinds lie in each node's folder, those of later nodes too") {
  const Cluster cluster(node_yaml(1) + kPolicy);
  const auto file = [&](const std::string& node) {
    return cluster.root(node).objects() / "NetworkPolicy.shop.deny.json";
  };
  const auto policy = nlohmann::json::parse(slurp(file("node-1")));
  CHECK(policy.at("spec").at("policyTypes")[0] == "Ingress");

  CHECK(lab_with(cluster, "apply", node_yaml(2)).status == 0);
  CHECK(slurp(file("node-2")) == slurp(file("node-1")));

  std::string changed = kPolicy;
  changed.replace(changed.find("Ingress"), 7, "Egress");
  CHECK(lab_with(cluster, "apply", changed).output == "NetworkPolicy/shop/deny configured\n");
  CHECK(lab_with(cluster, "apply", changed).output == "NetworkPolicy/shop/deny unchanged\n");
  for (const char* node : {"node-1", "node-2"}) CHECK(slurp(file(node)).find("Egress") != std::string::npos);

  CHECK(lab_with(cluster, "delete", kPolicy).output == "NetworkPolicy/shop/deny deleted\n");
  for (const char* node : {"node-1", "node-2"}) CHECK_FALSE(std::filesystem::exists(file(node)));
}

TEST_CASE("each node's agent is told of Nodes, the namespace default, and Pods with the addresses that they got") {
  const Cluster cluster(node_yaml(1) + node_yaml(2) + pod_yaml("a", "node-1"));
  const auto object = [&](const std::string& node, const std::string& name) {
    return nlohmann::json::parse(slurp(cluster.root(node).objects() / (name + ".json")), nullptr, false);
  };
  const auto a = cluster.pod("a");
  for (const char* node : {"node-1", "node-2"}) {
    CAPTURE(node);
    CHECK(object(node, "Node.node-1").at("spec").at("podCIDRs")[0] == "10.244.1.0/24");
    CHECK(object(node, "Node.node-2").at("kind") == "Node");
    CHECK(object(node, "Namespace.default").at("kind") == "Namespace");
    const auto status = object(node, "Pod.default.a").at("status");
    CHECK(status.at("phase") == "Running");
    REQUIRE(status.at("podIPs").size() == 2);
    for (const auto& ip : status.at("podIPs")) {
      const auto address = must(Address::parse(ip.at("ip").get<std::string>()));
      CHECK(address == a.address(address.is_v4()));
    }
  }

  auto labelled = pod_yaml("a", "node-1");
  labelled.replace(labelled.find("name: a\n"), 8, "name: a\n  labels: {app: web}\n");
  CHECK(lab_with(cluster, "apply", labelled).output == "pod/default/a configured\n");
  CHECK(lab_with(cluster, "apply", labelled).output == "pod/default/a unchanged\n");
  CHECK(object("node-2", "Pod.default.a").at("metadata").at("labels").at("app") == "web");
  CHECK(object("node-2", "Pod.default.a").at("status").at("podIPs").size() == 2);

  CHECK(lab_with(cluster, "apply", node_yaml(3)).status == 0);
  CHECK(object("node-3", "Pod.default.a") == object("node-1", "Pod.default.a"));
  CHECK(object("node-1", "Node.node-3").is_object());
  CHECK(lab_with(cluster, "delete", node_yaml(1)).status == 0);
  for (const char* name : {"Node.node-1.json", "Pod.default.a.json"}) {
    CHECK_FALSE(std::filesystem::exists(cluster.root("node-2").objects() / name));
  }
}

TEST_CASE("an object that was not applied in the end is taken back from the agents") {
  const Cluster cluster(node_yaml(1) + pod_yaml("a", "node-1"));
  const auto file = cluster.root("node-1").objects() / "Pod.default.a.json";
  const auto before = slurp(file);
  auto labelled = pod_yaml("a", "node-1");
  labelled.replace(labelled.find("name: a\n"), 8, "name: a\n  labels: {app: web}\n");
  const auto outcome = lab_with(cluster, "apply", labelled + pod_yaml("b", "node-1", R"({"mtu": 1})"));
  CHECK(outcome.status == 1);
  CHECK(outcome.output.find("Pod default/b") != std::string::npos);
  CHECK(slurp(file) == before);
  CHECK_FALSE(std::filesystem::exists(cluster.root("node-1").objects() / "Pod.default.b.json"));
}

TEST_CASE("with --agents every node has its agent, which knows the objects, and down ends it") {
  const auto name = new_lab_name();
  const auto lab = [&](const Command& arguments) {
    Command command{binary("sluice-lab").string(), "--name", name};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return run(command);
  };
  const auto up = lab({"up", "--agents", kTwoNodes});
  CHECK_MESSAGE(up.status == 0, up.output);
  const TextFile more(node_yaml(3));
  CHECK(lab({"apply", more.path()}).status == 0);
  for (const char* node : {"node-1", "node-2", "node-3"}) {
    CAPTURE(node);
    const loader::Root root("/run/sluice-lab/" + name + "/nodes/" + node + "/root");
    const nlohmann::json want{{"Namespace", 1}, {"Node", 3}, {"Pod", 4}};
    CHECK(within(5s, [&] {
      const auto status = nlohmann::json::parse(slurp(root.run() / "agent.json"), nullptr, false);
      return status.is_object() && status.at("objects") == want && status.at("problems").empty() &&
             status.at("parts").at(0).at("failure").get<std::string>().empty();
    }));
    CHECK(slurp(root.prefix() / "var/log/sluiced.log").find("level=info") != std::string::npos);
  }
  CHECK(lab({"down"}).status == 0);
  CHECK(remains_of(name) == "");
}

TEST_CASE("several labs with the same addresses stand side by side") {
  constexpr std::size_t kLabs = 4;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kLabs; ++i) names.push_back(new_lab_name());
  const auto all = [&](const Command& arguments) {
    std::vector<std::unique_ptr<Process>> processes;
    for (const auto& name : names) {
      Command command{binary("sluice-lab").string(), "--name", name};
      command.insert(command.end(), arguments.begin(), arguments.end());
      processes.push_back(std::make_unique<Process>(command));
    }
    for (auto& process : processes) CHECK(process->wait() == 0);
  };
  all({"up", kTwoNodes});
  all({"exec", "client", "--", "ping", "-c1", "-W2", "10.244.1.2"});
  all({"exec", "db", "--", "ping", "-c1", "-W2", "fd00:10:244:2::2"});
  all({"down"});
  for (const auto& name : names) CHECK(remains_of(name) == "");
}

TEST_CASE("down ends the processes that the lab started and no other in its namespaces") {
  const auto cluster = std::make_unique<Cluster>();
  Process ours({binary("sluice-lab").string(), "--name", cluster->name(), "exec", "web", "--", "sleep", "1000"});
  const auto netns = must(loader::net::Netns::open("/run/netns/" + cluster->name() + ".default.web"));
  std::unique_ptr<Process> foreign;
  must(netns.run([&]() -> Result<void> {
    foreign = std::make_unique<Process>(Command{"sleep", "1000"});
    return {};
  }));
  // The command is there once it is the pod's.
  CHECK(within(5s, [&] { return slurp("/proc/" + std::to_string(ours.pid()) + "/comm") == "sleep\n"; }));
  CHECK(cluster->lab({"down"}).status == 0);
  CHECK(ours.wait() == 128 + SIGKILL);
  CHECK(foreign->runs());
  CHECK(remains_of(cluster->name()) == "");
}

TEST_CASE("a pod with its node's network is in the node's namespace and needs no plugin") {
  const Cluster cluster(node_yaml(1) + pod_yaml("plain", "node-1") +
                        "---\nkind: Pod\napiVersion: v1\nmetadata: {name: agent, namespace: kube-system}\n"
                        "spec: {nodeName: node-1, hostNetwork: true}\n");
  const auto agent = cluster.pod("kube-system/agent");
  CHECK(agent.netns.same_as(cluster.node("node-1").netns));
  CHECK(agent.address(true).text() == "172.18.0.11");
  CHECK(cluster.exec("kube-system/agent", {"ping", "-c1", "-W2", cluster.pod("plain").address(true).text()}).status ==
        0);
}

TEST_CASE("names may be as long as Kubernetes has them") {
  const std::string name(63, 'n');
  const Cluster cluster(
      "kind: Node\napiVersion: v1\nmetadata: {name: " + name + "." + name +
      "}\nspec: {podCIDR: 10.244.9.0/24}\nstatus: {addresses: [{type: InternalIP, address: 172.18.0.19}]}\n" +
      pod_yaml(name, name + "." + name));
  CHECK(cluster.exec(name, {"ping", "-c1", "-W2", "172.18.0.19"}).status == 0);
}
