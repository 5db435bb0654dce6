// The truth tables of policy with sockets: the real agent, the real plugin, TCP and UDP in both families.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include "tests/e2e/policy_lab.hpp"
#include "tests/e2e/prober.hpp"
#include "tests/policy/truth.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace sluice::test;

namespace {

std::vector<TruthProbe> every_pair(const Places& places) {
  std::vector<TruthProbe> all;
  for (const auto& [from, from_place] : places)
    for (const auto& [to, to_place] : places)
      for (const bool v4 : {true, false})
        for (const std::uint8_t proto : {IPPROTO_TCP, IPPROTO_UDP})
          for (const std::uint16_t port : kTruthPorts)
            // What a place sends to itself never leaves it.
            if (from != to) all.push_back({from, to, v4, proto, port});
  return all;
}

TruthAddresses addresses_of(const Places& places) {
  const auto both = [](const char* v4, const char* v6) {
    return std::array{must(Address::parse(v6)), must(Address::parse(v4))};
  };
  TruthAddresses all{{"pods", both("10.244.0.0", "fd00:10:244::")},
                     {kTruthOther, both("172.18.0.12", "fd00:172:18::12")}};
  for (const auto& [name, place] : places) all[name] = {place->address(false), place->address(true)};
  return all;
}

void check(Prober& prober, const std::vector<TruthProbe>& probes, const std::vector<std::string>& says) {
  std::vector<bool> want;
  for (const TruthProbe& probe : probes) want.push_back(truth_allows(says, probe));
  const std::string differences = prober.differences(probes, want);
  CHECK_MESSAGE(differences.empty(), differences);
}

std::string pod_on(const std::string& node, const std::string& pod, const std::string& port) {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + pod.substr(2) + ", namespace: " + pod.substr(0, 1) +
         ", labels: {app: " + pod.substr(2) + "}}\nspec: {nodeName: " + node +
         ", containers: [{name: c, ports: [{name: web, containerPort: " + port + "}]}]}\n";
}

std::string for_pod(const std::string& app, const std::string& spec) {
  return "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: for-" + app +
         ", namespace: x}\nspec: {podSelector: {matchLabels: {app: " + app + "}}, " + spec + "}\n";
}

}  // namespace

TEST_CASE("truth tables: sockets of every pair of pods get through where the table says so, and nowhere else") {
  PolicyLab lab(truth_cluster(), {"node-1"}, {kTruthPods.begin(), kTruthPods.end()});
  Places places{{kTruthNode, &lab.place("node-1")}};
  for (const char* pod : kTruthPods) places[pod] = &lab.place(pod);
  const auto addresses = addresses_of(places);
  Prober prober(places, {kTruthPorts.begin(), kTruthPorts.end()});
  const auto all = every_pair(places);
  for (const Truth& truth : truths()) {
    CAPTURE(std::string(truth.name));
    lab.put(truth_objects(truth.objects, addresses));
    check(prober, all, truth.says);
  }
}

TEST_CASE("policy holds between pods of different nodes, each side judged where its pod is") {
  const std::vector<std::string> pods{"x/a", "x/b", "x/c", "y/d"};
  const std::string cluster = overlay_node_yaml(1) + overlay_node_yaml(2) + pod_on("node-1", "x/a", "80") +
                              pod_on("node-1", "x/b", "80") + pod_on("node-2", "x/c", "81") +
                              pod_on("node-2", "y/d", "80");
  PolicyLab lab(cluster, {"node-1", "node-2"}, pods);
  Places places;
  for (const std::string& pod : pods) places[pod] = &lab.place(pod);
  const auto addresses = addresses_of(places);
  Prober prober(places, {kTruthPorts.begin(), kTruthPorts.end()});
  const auto all = every_pair(places);
  const Truth rows[] = {
      {"no policy", "", {}},
      {"ingress by labels of pods of the other node",
       for_pod("c", "ingress: [{from: [{podSelector: {matchLabels: {app: a}}}], ports: [{port: 80}]}]"),
       {"deny * -> x/c", "allow x/a -> x/c: tcp/80"}},
      {"egress to labels of pods of the other node, at the port that each has by that name",
       for_pod("a", "policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: web}]}]"),
       {"deny x/a -> *", "allow x/a -> x/b, y/d: tcp/80", "allow x/a -> x/c: tcp/81"}},
      {"both sides must allow",
       for_pod("a", "policyTypes: [Egress], egress: [{to: [{podSelector: {}}], ports: [{port: 80, endPort: 81}]}]") +
           for_pod("c", "ingress: [{ports: [{port: 81}, {protocol: UDP, port: 53}]}]"),
       {"deny x/a -> *", "allow x/a -> x/b: tcp/80 tcp/81", "deny * -> x/c", "allow x/b, y/d -> x/c: tcp/81 udp/53",
        "allow x/a -> x/c: tcp/81"}},
      {"blocks that contain the pods of the other node",
       for_pod(
           "c",
           "ingress: [{from: [{ipBlock: {cidr: 10.244.1.0/24, except: [@x/b/32]}}, {ipBlock: {cidr: @x/b6/128}}]}]") +
           for_pod("b", "policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 'fd00:10:244:2::/64'}}]}]"),
       {"deny * -> x/c", "allow x/a -> x/c: v4", "deny x/b -> *", "allow x/b -> x/c, y/d: v6"}},
      {"again no policy", "", {}},
  };
  for (const Truth& row : rows) {
    CAPTURE(std::string(row.name));
    lab.put(truth_objects(row.objects, addresses));
    check(prober, all, row.says);
  }
  CHECK(lab.cluster().packets("node-1", maps::DROP_POLICY_EGRESS) > 0);
  CHECK(lab.cluster().packets("node-2", maps::DROP_POLICY_INGRESS) > 0);
}
