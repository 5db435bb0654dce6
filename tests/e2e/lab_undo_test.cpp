// What a lab leaves when something goes wrong: nothing.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <csignal>
#include <set>
#include <string>

#include "tests/e2e/cluster.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;

namespace {

Outcome lab(const std::string& name, Command arguments) {
  Command command{binary("sluice-lab").string(), "--name", name};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run(command);
}

/// A plugin that refuses to ADD the pod "bad" and is the real one for all others.
struct Plugin {
  TextFile file{
      "#!/bin/sh\n"
      "case $CNI_COMMAND:$CNI_ARGS in ADD:*K8S_POD_NAME=bad*)\n"
      "  echo '{\"cniVersion\": \"1.1.0\", \"code\": 11, \"msg\": \"no more\", \"details\": \"of it\"}'\n"
      "  exit 1;;\nesac\nexec " +
          binary("sluice-cni").string() + "\n",
      ".sh"};
  Plugin() { ::chmod(file.path().c_str(), 0755); }
};

}  // namespace

TEST_CASE("up that fails leaves nothing and says why") {
  const auto name = new_lab_name();
  const Plugin plugin;
  const TextFile file(node_yaml(1) + node_yaml(2) + pod_yaml("good", "node-1") + pod_yaml("bad", "node-2"));
  const auto outcome = lab(name, {"--plugin", plugin.file.path(), "up", file.path()});
  CHECK(outcome.status == 1);
  CHECK_MESSAGE(outcome.output.find("for Pod default/bad: no more: of it") != std::string::npos, outcome.output);
  CHECK(remains_of(name) == "");
}

TEST_CASE("apply that fails takes back its own and leaves what was there") {
  const Cluster cluster(node_yaml(1) + pod_yaml("first", "node-1"));
  const auto before = cluster.lab({"list", "-o", "json"}).output;
  const auto objects = [&] {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(cluster.root("node-1").objects())) {
      names.insert(entry.path().filename());
    }
    return names;
  };
  const auto objects_before = objects();
  const Plugin plugin;
  const TextFile file(node_yaml(2) +
                      "---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}]}\n" +
                      pod_yaml("good", "node-1") + pod_yaml("bad", "node-2"));
  const auto outcome = cluster.lab({"--plugin", plugin.file.path(), "apply", file.path()});
  CHECK(outcome.status == 1);
  CHECK(cluster.lab({"list", "-o", "json"}).output == before);
  CHECK(objects() == objects_before);
  CHECK(cluster.lab({"apply", file.path()}).status == 0);
  CHECK(cluster.exec("good", {"ping", "-c1", "-W2", cluster.pod("first").address(true).text()}).status == 0);
}

TEST_CASE("what is wrong in a file is refused before anything is made") {
  const auto name = new_lab_name();
  const struct {
    std::string yaml;
    const char* want;
  } rows[] = {
      {pod_yaml("a", "node-1"), "a lab needs a Node"},
      {node_yaml(1) + pod_yaml("a", "node-7"), "Pod default/a: spec.nodeName: there is no Node node-7"},
      {node_yaml(1) + pod_yaml("a", ""), "Pod default/a: spec.nodeName: is missing"},
      {node_yaml(1) + pod_yaml("a", "node-1") + pod_yaml("a", "node-1"), "Pod default/a: is there twice"},
      {node_yaml(1) + "---\nkind: Node\napiVersion: v1\nmetadata: {name: other}\nstatus: {addresses: "
                      "[{type: InternalIP, address: 172.18.0.11}]}\n",
       "Node other: address 172.18.0.11 belongs to Node node-1 too"},
      {node_yaml(1) + "---\nkind: Node\napiVersion: v1\nmetadata: {name: other}\nspec: {podCIDR: 10.244.0.0/16}\n"
                      "status: {addresses: [{type: InternalIP, address: 172.18.0.99}]}\n",
       "Node other: pod CIDR 10.244.0.0/16 belongs to Node node-1 too"},
      {"kind: Node\napiVersion: v1\nmetadata: {name: n}\n", "Node n: status.addresses has no InternalIP"},
      {"kind: Node\napiVersion: v1\n", ": document 1: Node: metadata.name: is missing"},
      {node_yaml(1) + pod_yaml("a", "node-1", "[1]"), "must be a JSON object"},
  };
  for (const auto& row : rows) {
    CAPTURE(std::string(row.want));
    const TextFile file(row.yaml);
    const auto outcome = lab(name, {"up", file.path()});
    CHECK(outcome.status == 1);
    CHECK_MESSAGE(outcome.output.find(row.want) != std::string::npos, outcome.output);
    CHECK(remains_of(name) == "");
  }
  CHECK(lab("No/Name", {"list"}).output.find("is not a name for a lab") != std::string::npos);
  CHECK(lab(name, {"list"}).output.find("there is no lab " + name) != std::string::npos);
  CHECK(lab(name, {"up", "/no/such/file"}).status == 1);
  CHECK(lab(name, {"frobnicate"}).status == 2);
  CHECK(lab(name, {"down"}).status == 0);
}

TEST_CASE("a second up of a lab is refused and does it no harm") {
  const Cluster cluster;
  const auto outcome = cluster.lab({"up", kTwoNodes});
  CHECK(outcome.status == 1);
  CHECK(outcome.output.find("lab " + cluster.name() + " is there") != std::string::npos);
  CHECK(cluster.exec("client", {"ping", "-c1", "-W2", cluster.pod("web").address(true).text()}).status == 0);
}

TEST_CASE("down removes whatever a killed up has left, and a new up then works") {
  const auto name = new_lab_name();
  const Command up{binary("sluice-lab").string(), "--name", name, "up", kTwoNodes};
  // The moment of death wanders over the whole of an up, which takes some 300 ms.
  for (auto delay = 0ms; delay < 400ms; delay += 15ms) {
    CAPTURE(delay.count());
    {
      const Process process(up);
      std::this_thread::sleep_for(delay);
      process.signal(SIGKILL);
    }
    const auto outcome = lab(name, {"down"});
    CHECK_MESSAGE(outcome.status == 0, outcome.output);
    CHECK(remains_of(name) == "");
  }
  CHECK(run(up).status == 0);
  CHECK(lab(name, {"exec", "client", "--", "ping", "-c1", "-W2", "172.18.0.11"}).status == 0);
  CHECK(lab(name, {"down"}).status == 0);
  CHECK(remains_of(name) == "");
}

TEST_CASE("apply finishes what a killed apply has begun") {
  const Cluster cluster(node_yaml(1) + pod_yaml("first", "node-1"));
  const TextFile file(node_yaml(2) + pod_yaml("second", "node-1") + pod_yaml("third", "node-2"));
  const Command apply{binary("sluice-lab").string(), "--name", cluster.name(), "apply", file.path()};
  for (auto delay = 0ms; delay < 200ms; delay += 25ms) {
    CAPTURE(delay.count());
    {
      const Process process(apply);
      std::this_thread::sleep_for(delay);
      process.signal(SIGKILL);
    }
    const auto outcome = cluster.lab({"apply", file.path()});
    REQUIRE_MESSAGE(outcome.status == 0, outcome.output);
    CHECK(cluster.exec("first", {"ping", "-c1", "-W2", cluster.pod("second").address(true).text()}).status == 0);
    const auto removed = cluster.lab({"delete", file.path()});
    REQUIRE_MESSAGE(removed.status == 0, removed.output);
  }
}

TEST_CASE("an up that is told to stop undoes itself") {
  for (const int signal : {SIGINT, SIGTERM}) {
    const auto name = new_lab_name();
    Process process({binary("sluice-lab").string(), "--name", name, "up", kTwoNodes});
    CHECK(within(5s, [&] { return std::filesystem::exists("/run/netns/" + name + ".node-1"); }));
    process.signal(signal);
    CHECK(process.wait() == 1);
    CHECK(remains_of(name) == "");
  }
}
