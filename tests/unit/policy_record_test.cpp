// What the agent writes down about policy, and what can be told from it.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include <memory>

#include "loader/observe/policy_words.hpp"
#include "loader/state/policy/record.hpp"
#include "loader/state/policy/words.hpp"
#include "tests/unit/kube_text.hpp"

using namespace sluice;
using namespace sluice::loader;
using namespace sluice::loader::state::policy;
using sluice::loader::observe::PolicyWords;
using sluice::tests::must;
using sluice::tests::only;

namespace {

class World {
 public:
  World& put(const std::string& yaml) {
    auto object = std::make_shared<kube::Object>(only(yaml));
    text_.take(cluster_, cluster_.take({{{object->id, object}}, {}}));
    return *this;
  }
  World& remove(const kube::ObjectId& id) {
    text_.take(cluster_, cluster_.take({{{id, nullptr}}, {}}));
    return *this;
  }
  World& pod(const std::string& ns, const std::string& name, const std::string& more = "") {
    return put("{apiVersion: v1, kind: Pod, metadata: {namespace: " + ns + ", name: " + name + ", labels: {app: " +
               name + "}}, spec: {nodeName: n, containers: []" + more + "}, status: {podIP: 10.0.0.1}}");
  }
  World& network(const std::string& ns, const std::string& name, const std::string& spec) {
    return put("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: " + ns +
               ", name: " + name + "}, spec: " + spec + "}");
  }
  World& cluster(const std::string& name, const std::string& tier, int priority, const std::string& subject,
                 const std::string& ingress) {
    return put("{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: " + name +
               "}, spec: {tier: " + tier + ", priority: " + std::to_string(priority) + ", subject: " + subject +
               ", ingress: " + ingress + "}}");
  }

  PolicyWords words() { return PolicyWords(must(parse_record(text_.page("n").text()))); }
  [[nodiscard]] bool changed() const { return text_.changed(); }

 private:
  state::Cluster cluster_;
  RecordText text_;
};

std::string names(const std::vector<const PolicyRecord*>& policies) {
  std::string text;
  for (const auto* policy : policies) text += policy->policy + "; ";
  return text;
}

}  // namespace

TEST_CASE("who isolates a pod, and which policies are about it, in the order in which they are asked") {
  World world;
  world.pod("shop", "web").pod("shop", "db").pod("other", "web");
  world.put("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: x}}}");
  world.network("shop", "web", "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}");
  world.network("shop", "all", "{podSelector: {}, policyTypes: [Ingress, Egress]}");
  world.network("shop", "none", "{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web, db]}]}}");
  const std::string deny = "[{action: Deny, from: [{namespaces: {}}]}]";
  world.cluster("late", "Admin", 9, "{namespaces: {matchLabels: {team: x}}}", deny);
  world.cluster("early", "Admin", 3, "{namespaces: {}}", deny);
  world.cluster("base", "Baseline", 1, "{namespaces: {}}", deny);
  const PolicyWords words = world.words();
  CHECK(words.isolation("shop/web", true) == "isolated by NetworkPolicy shop/all; NetworkPolicy shop/web");
  CHECK(words.isolation("shop/web", false) == "isolated by NetworkPolicy shop/all");
  CHECK(words.isolation("other/web", true).empty());
  CHECK(names(words.about("shop/web", true)) ==
        "ClusterNetworkPolicy early; ClusterNetworkPolicy late; NetworkPolicy shop/all; NetworkPolicy shop/web; "
        "ClusterNetworkPolicy base; ");
  CHECK(names(words.about("other/web", true)) == "ClusterNetworkPolicy early; ClusterNetworkPolicy base; ");
  CHECK(words.about("nobody/here", true).empty());
}

TEST_CASE("a number becomes the rules that say it of this pod, in this direction and at this port") {
  World world;
  world.pod("a", "x").pod("a", "y");
  const std::string from = "from: [{namespaceSelector: {}}]", to = "to: [{namespaceSelector: {}}]";
  world.network("a", "p",
                "{podSelector: {matchLabels: {app: x}}, ingress: [{" + from + ", ports: [{port: 80}]}, {" + from +
                    ", ports: [{port: 443}, {port: 90, endPort: 99}]}]}");
  world.network("a", "q",
                "{podSelector: {}, ingress: [{" + from + "}], egress: [{" + to + "}], policyTypes: [Ingress, Egress]}");
  const PolicyWords words = world.words();
  const auto number = words.record().policies[0].ingress->at(0).number;
  CHECK(words.rule(number, {"a/x", true, IPPROTO_TCP, 443}) ==
        "NetworkPolicy a/p, ingress rule 2; NetworkPolicy a/q, ingress rule 1");
  CHECK(words.rule(number, {"a/x", true, IPPROTO_UDP, 443}) == "NetworkPolicy a/q, ingress rule 1");
  CHECK(words.rule(number, {"a/y", true, IPPROTO_TCP, 80}) == "NetworkPolicy a/q, ingress rule 1");
  CHECK(words.rule(number, {"a/y", false, IPPROTO_TCP, 80}) == "NetworkPolicy a/q, egress rule 1");
  CHECK(words.rule(number + 1, {"a/y", false, IPPROTO_TCP, 80}).empty());
}

TEST_CASE("a port by name decides where no number does") {
  World world;
  world.pod("a", "x");
  world.network(
      "a", "p",
      "{podSelector: {}, ingress: [{ports: [{port: 80}, {port: http}]}, {ports: [{port: 443}, {port: http}]}]}");
  const PolicyWords words = world.words();
  const auto number = words.record().policies[0].ingress->at(0).number;
  CHECK(words.rule(number, {"a/x", true, IPPROTO_TCP, 443}) == "NetworkPolicy a/p, ingress rule 2");
  CHECK(words.rule(number, {"a/x", true, IPPROTO_TCP, 8080}) ==
        "NetworkPolicy a/p, ingress rule 1; NetworkPolicy a/p, ingress rule 2");
}

TEST_CASE("a denial names its rule, else who isolates the pod") {
  World world;
  world.pod("a", "x").pod("b", "z");
  world.network("a", "p", "{podSelector: {}}");
  world.cluster("c", "Admin", 1, "{namespaces: {}}",
                "[{action: Pass, from: [{namespaces: {}}]}, {name: no-one, action: Deny, from: [{namespaces: {}}]}]");
  const PolicyWords words = world.words();
  const auto denies = rule_number({"ClusterNetworkPolicy", "", "c"}, true, 2);
  CHECK(words.denial(denies, {"a/x", true, IPPROTO_TCP, 80}) == "by ClusterNetworkPolicy c, ingress rule 2 (no-one)");
  CHECK(words.denial(denies, {"", true, IPPROTO_TCP, 80}) == "by ClusterNetworkPolicy c, ingress rule 2 (no-one)");
  CHECK(words.denial(7, {"a/x", true, IPPROTO_TCP, 80}) == "by rule 7");
  CHECK(words.denial(0, {"a/x", true, IPPROTO_TCP, 80}) == "isolated by NetworkPolicy a/p, no rule allows");
  CHECK(words.denial(0, {"b/z", true, IPPROTO_TCP, 80}) == "isolated, no rule allows");
}

TEST_CASE("what goes is forgotten, what stays the same changes nothing, and hosts' pods are left out") {
  World world;
  world.pod("a", "x").pod("a", "host", ", hostNetwork: true").network("a", "p", "{podSelector: {}}");
  CHECK(world.words().record().pods.size() == 1);
  CHECK(world.words().record().pods.at("a/x").addresses.front().text() == "10.0.0.1");
  CHECK(world.words().record().pods.at("a/x").node == "n");
  CHECK(!world.changed());
  world.pod("a", "x").put("{apiVersion: v1, kind: Node, metadata: {name: n}}");
  CHECK(!world.changed());
  world.remove({"NetworkPolicy", "a", "p"});
  CHECK(world.changed());
  CHECK(world.words().record().policies.empty());
}

TEST_CASE("a file that is none is refused") {
  for (const char* text : {"", "{", "[]", "{\"node\": \"n\", \"policies\": [{}], \"pods\": [], \"namespaces\": []}"})
    CHECK(parse_record(text).failed_with(EPROTO));
}
