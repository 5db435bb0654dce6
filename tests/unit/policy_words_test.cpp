// Numbers and words of rules, and that numbers take nothing from what rule sets share.
#include <doctest/doctest.h>

#include <memory>

#include "loader/state/policy/compile.hpp"
#include "loader/state/policy/words.hpp"
#include "tests/unit/kube_text.hpp"

using namespace sluice;
using namespace sluice::loader;
using namespace sluice::loader::state::policy;
using sluice::tests::only;
using sluice::tests::only_body;

namespace {

std::string policy_yaml(const std::string& name, const std::string& spec) {
  const auto slash = name.find('/');
  return "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: " + name.substr(0, slash) +
         ", name: " + name.substr(slash + 1) + "}, spec: " + spec + "}";
}

kube::PolicyRule rule(const std::string& ingress) {
  return only_body<kube::NetworkPolicy>(policy_yaml("a/p", "{podSelector: {}, ingress: [" + ingress + "]}")).ingress[0];
}

/// The cluster of these objects, whose pods a/x, a/y and b/z are on this node, compiled.
Tables compiled(const std::vector<std::string>& objects) {
  state::Cluster cluster;
  std::vector<LocalPod> local;
  const auto put = [&](const std::string& yaml) {
    auto object = std::make_shared<kube::Object>(only(yaml));
    (void)cluster.take({{{object->id, object}}, {}});
  };
  int number = 1;
  for (const char* pod : {"a/x", "a/y", "b/z"}) {
    const std::string ns(pod, 1), name(pod + 2), address = "10.0.0." + std::to_string(number++);
    put("{apiVersion: v1, kind: Pod, metadata: {namespace: " + ns + ", name: " + name + ", labels: {app: " + name +
        "}}, spec: {nodeName: n, containers: []}, status: {podIPs: [{ip: " + address + "}]}}");
    local.push_back({ns, name, {*Address::parse(address)}});
  }
  for (const auto& yaml : objects) put(yaml);
  return compile(cluster, "n", local);
}

}  // namespace

TEST_CASE("a rule is said in words") {
  const struct {
    const char* rule;
    const char* peers;
    const char* ports;
  } rows[] = {
      {"{}", "from everyone", "every port"},
      {"{from: [{podSelector: {}}], ports: [{}]}", "from every pod in this namespace", "TCP"},
      {"{from: [{podSelector: {matchLabels: {app: web}}, namespaceSelector: {}}], ports: [{port: 80}, {port: 1, "
       "endPort: "
       "9, protocol: UDP}]}",
       "from pods app=web in every namespace", "TCP 80, UDP 1-9"},
      {"{from: [{namespaceSelector: {matchLabels: {team: x}}}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, "
       "10.2.0.0/16]}}], ports: [{port: http}]}",
       "from every pod in namespaces team=x, from 10.0.0.0/8 except 10.1.0.0/16 and 10.2.0.0/16", "TCP http"},
  };
  for (const auto& row : rows) {
    CAPTURE(std::string(row.rule));
    CHECK(peers_text(rule(row.rule), true) == row.peers);
    CHECK(ports_text(rule(row.rule).ports) == row.ports);
  }
  CHECK(rule_name("NetworkPolicy a/p", true, 1) == "NetworkPolicy a/p, ingress rule 1");
  CHECK(rule_name("ClusterNetworkPolicy c", false, 2, "dns") == "ClusterNetworkPolicy c, egress rule 2 (dns)");
}

TEST_CASE("rules with the same peers have one number, whatever their ports, and others another") {
  const auto number = [](const std::string& text, const std::string& ns = "a") { return rule_number(rule(text), ns); };
  const std::string web = "from: [{podSelector: {matchLabels: {app: web}}}]",
                    everywhere = "from: [{podSelector: {matchLabels: {app: web}}, namespaceSelector: {}}]";
  CHECK(number("{" + web + "}") == number("{" + web + ", ports: [{port: 80}]}"));
  CHECK(number("{" + web + "}") != number("{" + web + "}", "b"));
  CHECK(number("{" + everywhere + "}") == number("{" + everywhere + "}", "b"));
  CHECK(number("{" + web + "}") != number("{" + everywhere + "}"));
  CHECK(number("{" + web + "}") != number("{" + web + ", ports: [{port: http}]}"));
  CHECK(number("{}") != number("{" + web + "}"));
  CHECK(rule_number({"ClusterNetworkPolicy", "", "c"}, false, 1) !=
        rule_number({"ClusterNetworkPolicy", "", "c"}, false, 2));
}

TEST_CASE("policies that say the same in two namespaces share a rule set, and one set of peers serves all ports") {
  const std::string from_b = "from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: b}}}]";
  const auto both = compiled({policy_yaml("a/one", "{podSelector: {}, ingress: [{" + from_b + "}]}"),
                              policy_yaml("b/two", "{podSelector: {}, ingress: [{" + from_b + "}]}")});
  CHECK(both.pods.at(*Address::parse("10.0.0.1")).policy.ingress ==
        both.pods.at(*Address::parse("10.0.0.3")).policy.ingress);
  REQUIRE(both.sets.size() == 1);
  const PeerSet& peers = *both.sets.begin()->second;
  REQUIRE(peers.size() == 1);
  CHECK(peers[0].second.network.rule == rule_number(rule("{" + from_b + "}"), "a"));

  const auto ports = compiled(
      {policy_yaml("a/x", "{podSelector: {matchLabels: {app: x}}, ingress: [{" + from_b + ", ports: [{port: 80}]}]}"),
       policy_yaml("a/y", "{podSelector: {matchLabels: {app: y}}, ingress: [{" + from_b + ", ports: [{port: 443}]}, {" +
                              from_b + ", ports: [{port: 81}]}]}")});
  std::size_t entries = 0;
  for (const auto& [id, rules] : ports.policies) entries += rules->ports.size();
  CHECK(entries == 3);
  CHECK(ports.sets.size() == 1);
}

TEST_CASE("of two rules that allow, the same one decides in whatever order the policies are") {
  const std::string z = "{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: z}}}]}",
                    all = "{from: [{namespaceSelector: {}}]}";
  const auto tables = compiled({policy_yaml("a/p", "{podSelector: {}, ingress: [" + z + "]}"),
                                policy_yaml("a/q", "{podSelector: {}, ingress: [" + all + "]}"),
                                policy_yaml("b/p", "{podSelector: {}, ingress: [" + all + "]}"),
                                policy_yaml("b/q", "{podSelector: {}, ingress: [" + z + "]}")});
  CHECK(tables.pods.at(*Address::parse("10.0.0.1")).policy.ingress ==
        tables.pods.at(*Address::parse("10.0.0.3")).policy.ingress);
  CHECK(tables.sets.size() == 1);
}
