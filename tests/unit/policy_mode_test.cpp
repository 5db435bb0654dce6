// Audit and reject: whose word counts, and what pods of different modes share.
#include <doctest/doctest.h>

#include <memory>

#include "loader/state/policy/compile.hpp"
#include "loader/state/policy/mode.hpp"
#include "tests/unit/kube_text.hpp"

using namespace sluice;
using namespace sluice::loader;
using namespace sluice::loader::state::policy;
using sluice::tests::only;

namespace {

std::string annotations(const std::string& audit, const std::string& reject) {
  const auto one = [](const char* name, const std::string& value) {
    return value.empty() ? "" : std::string(name) + ": \"" + value + "\", ";
  };
  return "{" + one(kAuditAnnotation, audit) + one(kRejectAnnotation, reject) + "x: y}";
}

kube::Object put(state::Cluster& cluster, const std::string& yaml) {
  auto object = std::make_shared<kube::Object>(only(yaml));
  (void)cluster.take({{{object->id, object}}, {}});
  return *object;
}

std::string pod(const std::string& name, const std::string& notes) {
  return "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: " + name +
         ", labels: {app: web}, annotations: " + notes + "}, spec: {nodeName: n, containers: []}}";
}

std::string ns(const std::string& notes) {
  return "{apiVersion: v1, kind: Namespace, metadata: {name: a, annotations: " + notes + "}}";
}

}  // namespace

TEST_CASE("a pod's word comes before its namespace's, that before the node's, for each of the two by itself") {
  constexpr std::uint32_t kBoth = POLICY_AUDIT | POLICY_REJECT;
  const struct {
    std::uint32_t node;
    const char *ns_audit, *ns_reject, *pod_audit, *pod_reject;
    std::uint32_t want;
  } rows[] = {
      {0, "", "", "", "", 0},
      {kBoth, "", "", "", "", kBoth},
      {0, "true", "", "", "", POLICY_AUDIT},
      {kBoth, "false", "", "", "", POLICY_REJECT},
      {0, "true", "", "false", "true", POLICY_REJECT},
      {POLICY_REJECT, "false", "false", "true", "", POLICY_AUDIT},
      {POLICY_AUDIT, "maybe", "", "yes", "TRUE", POLICY_AUDIT},
  };
  for (const auto& row : rows) {
    state::Cluster cluster;
    put(cluster, ns(annotations(row.ns_audit, row.ns_reject)));
    put(cluster, pod("web", annotations(row.pod_audit, row.pod_reject)));
    CHECK(mode_of(cluster, {"Pod", "a", "web"}, row.node) == row.want);
  }
  state::Cluster cluster;
  CHECK(mode_problems(put(cluster, pod("web", annotations("true", "false")))).empty());
  const auto problems = mode_problems(put(cluster, ns(annotations("yes", ""))));
  REQUIRE(problems.size() == 1);
  CHECK(problems[0] ==
        "Namespace a: annotation sluice.dev/policy-audit must be true or false, not 'yes': it counts as not given");
}

TEST_CASE("pods of different modes have rule sets of their own and share the sets of peers") {
  state::Cluster cluster;
  std::vector<LocalPod> local;
  const std::pair<const char*, std::string> pods[] = {
      {"one", "{}"}, {"two", "{}"}, {"audited", annotations("true", "")}, {"rejecting", annotations("", "true")}};
  for (const auto& [name, notes] : pods) {
    put(cluster, pod(name, notes));
    local.push_back({"a", name, {*Address::parse("10.0.0." + std::to_string(local.size() + 1))}});
  }
  put(cluster,
      "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: a, name: p}, spec: {podSelector: "
      "{}, ingress: [{from: [{podSelector: {}}]}]}}");
  const Tables tables = compile(cluster, "n", local);
  const auto rule_set = [&](std::size_t i) { return tables.pods.at(local[i].addresses[0]).policy.ingress; };
  CHECK(rule_set(0) == rule_set(1));
  const std::pair<std::size_t, std::uint32_t> rows[] = {{0, 0}, {2, POLICY_AUDIT}, {3, POLICY_REJECT}};
  for (const auto& [i, mode] : rows) {
    const RuleSet& rules = *tables.policies.at(rule_set(i));
    CHECK(rules.policy.flags == (POLICY_IN_FORCE | POLICY_ISOLATES | mode));
    REQUIRE(rules.ports.size() == 1);
    CHECK(rules.ports[0].second.set == tables.sets.begin()->first);
  }
  CHECK(tables.sets.size() == 1);
  const Tables all = compile(cluster, "n", local, {}, true, {}, POLICY_AUDIT);
  CHECK(all.policies.at(all.pods.at(local[0].addresses[0]).policy.ingress)->policy.flags ==
        (POLICY_IN_FORCE | POLICY_ISOLATES | POLICY_AUDIT));
}
