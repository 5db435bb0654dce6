// NetworkPolicies, ClusterNetworkPolicies and their forerunners.
#include <string>

#include "tests/unit/kube_text.hpp"

using namespace sluice;
using namespace sluice::loader::kube;
using sluice::tests::must;
using sluice::tests::only;
using sluice::tests::only_body;
using sluice::tests::Refused;
using sluice::tests::with;

namespace {

constexpr const char* kPolicy = R"(
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: web}}, SPEC}
)";

constexpr const char* kCluster = R"(
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: p}
spec:
  tier: Admin
  priority: 5
  subject: {namespaces: {}}
  egress:
  - {name: first, action: Accept, to: [{networks: [10.0.0.1/8]}], protocols: [{tcp: {destinationPort: {number: 80}}}]}
  - {action: Pass, to: [{nodes: {}}, {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}}]}
  ingress:
  - {action: Deny, from: [{namespaces: {matchLabels: {team: a}}}],
     protocols: [{udp: {destinationPort: {range: {start: 1, end: 9}}}}, {destinationNamedPort: http}]}
)";

constexpr const char* kAdmin = R"(
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: default}
spec:
  priority: 5
  subject: {pods: {namespaceSelector: {}, podSelector: {}}}
  ingress:
  - {action: Allow, from: [{namespaces: {}}],
     ports: [{portNumber: {port: 80}}, {portRange: {protocol: UDP, start: 1, end: 9}}, {namedPort: http}]}
)";

NetworkPolicy policy(const std::string& spec) { return only_body<NetworkPolicy>(with(kPolicy, "SPEC", spec)); }

}  // namespace

TEST_CASE("policyTypes says which directions are isolated, and has Kubernetes' defaults") {
  const struct {
    const char* spec;
    bool ingress, egress;
  } rows[] = {
      {"", true, false},
      {"ingress: []", true, false},
      {"egress: []", true, false},
      {"egress: [{}]", true, true},
      {"policyTypes: []", true, false},
      {"policyTypes: [], egress: [{}]", true, true},
      {"policyTypes: [Ingress], egress: [{}]", true, false},
      {"policyTypes: [Egress], ingress: [{}]", false, true},
      {"policyTypes: [Ingress, Egress]", true, true},
  };
  for (const auto& row : rows) {
    CAPTURE(std::string(row.spec));
    const auto found = policy(row.spec);
    CHECK(found.isolates_ingress == row.ingress);
    CHECK(found.isolates_egress == row.egress);
    CHECK((found.isolates_ingress || found.ingress.empty()));
    CHECK((found.isolates_egress || found.egress.empty()));
  }
}

TEST_CASE("a rule's ports have their defaults") {
  const struct {
    const char* port;
    PolicyPort want;
  } rows[] = {
      {"{}", {.protocol = Protocol::kTcp}},
      {"{protocol: UDP}", {.protocol = Protocol::kUdp}},
      {"{port: 80}", {.protocol = Protocol::kTcp, .first = 80, .last = 80}},
      {"{port: 80, endPort: 90, protocol: SCTP}", {.protocol = Protocol::kSctp, .first = 80, .last = 90}},
      {"{port: http}", {.protocol = Protocol::kTcp, .name = "http"}},
  };
  for (const auto& row : rows) {
    CAPTURE(std::string(row.port));
    const auto rules = policy(std::string("ingress: [{ports: [") + row.port + "]}]").ingress;
    REQUIRE(rules.size() == 1);
    CHECK(rules[0].ports == std::vector<PolicyPort>{row.want});
    CHECK(rules[0].peers.empty());
  }
}

TEST_CASE("a rule's peers are pods of this namespace, pods of others, or address blocks") {
  const auto found = policy(
      "egress: [{to: [{podSelector: {}}, {namespaceSelector: {}}, {podSelector: {matchLabels: {a: b}},"
      "namespaceSelector: {matchLabels: {c: d}}}, {ipBlock: {cidr: 10.0.0.1/8, except: [10.1.0.0/16]}}]}]");
  CHECK(found.pods.text() == "app=web");
  REQUIRE(found.egress.size() == 1);
  const auto& peers = found.egress[0].peers;
  REQUIRE(peers.size() == 4);
  CHECK_FALSE(std::get<PodPeer>(peers[0]).namespaces);
  CHECK(std::get<PodPeer>(peers[0]).pods.everything());
  CHECK(std::get<PodPeer>(peers[1]).namespaces == LabelSelector{});
  CHECK(std::get<PodPeer>(peers[1]).pods.everything());
  CHECK(std::get<PodPeer>(peers[2]).namespaces.value_or(LabelSelector{}).text() == "c=d");
  CHECK(std::get<PodPeer>(peers[2]).pods.text() == "a=b");
  CHECK(std::get<IpBlock>(peers[3]).cidr.text() == "10.0.0.0/8");
  CHECK(std::get<IpBlock>(peers[3]).except == std::vector{must(Prefix::parse("10.1.0.0/16"))});
}

TEST_CASE("a NetworkPolicy that the API server would refuse is refused") {
  const Refused rows[] = {
      {kPolicy, "SPEC", "policyTypes: [ingress]", "NetworkPolicy default/p: spec.policyTypes[0]: \"ingress\" is none"},
      {kPolicy, "SPEC", "ingress: {}", "NetworkPolicy default/p: spec.ingress: must be a list"},
      {kPolicy, "SPEC", "ingress: [{from: [{}]}]", "NetworkPolicy default/p: spec.ingress[0].from[0]: has no ipBlock"},
      {kPolicy, "SPEC", "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]",
       "NetworkPolicy default/p: spec.ingress[0].from[0].ipBlock: must stand alone"},
      {kPolicy, "SPEC", "egress: [{to: [{ipBlock: {cidr: 10.0.0.0}}]}]",
       "NetworkPolicy default/p: spec.egress[0].to[0].ipBlock.cidr: \"10.0.0.0\" is not an address block"},
      {kPolicy, "SPEC", "egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]",
       "NetworkPolicy default/p: spec.egress[0].to[0].ipBlock.except[0]: 11.0.0.0/16 is not a part of 10.0.0.0/8"},
      {kPolicy, "SPEC", "egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]",
       "NetworkPolicy default/p: spec.egress[0].to[0].ipBlock.except[0]: 10.0.0.0/8 is not a part"},
      {kPolicy, "SPEC", "ingress: [{ports: [{port: 0}]}]",
       "NetworkPolicy default/p: spec.ingress[0].ports[0].port: must be from 1 to 65535"},
      {kPolicy, "SPEC", "ingress: [{ports: [{port: '80'}]}]",
       "NetworkPolicy default/p: spec.ingress[0].ports[0].port: "},
      {kPolicy, "SPEC", "ingress: [{ports: [{port: 80, endPort: 79}]}]",
       "NetworkPolicy default/p: spec.ingress[0].ports[0].endPort: must not be smaller than port"},
      {kPolicy, "SPEC", "ingress: [{ports: [{port: http, endPort: 79}]}]",
       "NetworkPolicy default/p: spec.ingress[0].ports[0].endPort: needs a port that is a number"},
  };
  check_refused(rows);
}

TEST_CASE("a ClusterNetworkPolicy has its tier, priority, subject and rules in order") {
  const auto found = only_body<ClusterPolicy>(kCluster);
  CHECK(found.tier == ClusterPolicy::Tier::kAdmin);
  CHECK(found.priority == 5);
  CHECK(found.subject == ClusterPods{});
  REQUIRE(found.egress.size() == 2);
  CHECK(found.egress[0] == ClusterRule{.name = "first",
                                       .action = ClusterRule::Action::kAccept,
                                       .peers = {ClusterNetworks{{must(Prefix::parse("10.0.0.0/8"))}}},
                                       .ports = {{.protocol = Protocol::kTcp, .first = 80, .last = 80}}});
  CHECK(found.egress[1].action == ClusterRule::Action::kPass);
  REQUIRE(found.egress[1].peers.size() == 2);
  CHECK(std::get<ClusterNodes>(found.egress[1].peers[0]).nodes.everything());
  CHECK(std::get<ClusterPods>(found.egress[1].peers[1]).pods.text() == "app=db");
  REQUIRE(found.ingress.size() == 1);
  CHECK(found.ingress[0].action == ClusterRule::Action::kDeny);
  CHECK(found.ingress[0].ports ==
        std::vector<PolicyPort>{{.protocol = Protocol::kUdp, .first = 1, .last = 9}, {.name = "http"}});
}

TEST_CASE("AdminNetworkPolicy and BaselineAdminNetworkPolicy become the same") {
  const auto admin = only_body<ClusterPolicy>(kAdmin);
  CHECK(admin.tier == ClusterPolicy::Tier::kAdmin);
  REQUIRE(admin.ingress.size() == 1);
  CHECK(admin.ingress[0].action == ClusterRule::Action::kAccept);
  CHECK(admin.ingress[0].ports == std::vector<PolicyPort>{{.protocol = Protocol::kTcp, .first = 80, .last = 80},
                                                          {.protocol = Protocol::kUdp, .first = 1, .last = 9},
                                                          {.name = "http"}});
  const auto baseline =
      only_body<ClusterPolicy>(with(with(kAdmin, "AdminNetwork", "BaselineAdminNetwork"), "  priority: 5\n", ""));
  CHECK(baseline.tier == ClusterPolicy::Tier::kBaseline);
  CHECK(baseline.priority == 1001);
  CHECK(baseline.ingress == admin.ingress);
}

TEST_CASE("a peer that is not known closes its rule, and the object warns") {
  const auto domain = R"({domainNames: ["*.example.com"]})";
  const auto accept = only(with(kCluster, "{networks: [10.0.0.1/8]}", domain));
  CHECK(std::get<ClusterPolicy>(accept.body).egress[0].peers.empty());
  REQUIRE(accept.warnings.size() == 1);
  CHECK(accept.warnings[0].starts_with("spec.egress[0].to[0]: is a peer of a kind that is not known"));

  const auto pass = only_body<ClusterPolicy>(with(kCluster, "{nodes: {}}", domain)).egress[1];
  CHECK(pass.action == ClusterRule::Action::kDeny);
  CHECK(pass.ports.empty());
  REQUIRE(pass.peers.size() == 1);
  CHECK(std::get<ClusterNetworks>(pass.peers[0]).cidrs.size() == 2);
}

TEST_CASE("a ClusterNetworkPolicy that the API server would refuse is refused") {
  const Refused rows[] = {
      {kCluster, "tier: Admin", "tier: admin", "ClusterNetworkPolicy p: spec.tier: \"admin\" is none of Admin"},
      {kCluster, "  tier: Admin\n", "", "ClusterNetworkPolicy p: spec.tier: is missing"},
      {kCluster, "priority: 5", "priority: 1001", "ClusterNetworkPolicy p: spec.priority: must be from 0 to 1000"},
      {kCluster, "  priority: 5\n", "", "ClusterNetworkPolicy p: spec.priority: is missing"},
      {kCluster, "{namespaces: {}}", "{}", "ClusterNetworkPolicy p: spec.subject: must have namespaces or pods"},
      {kCluster, "Accept", "Allow", "ClusterNetworkPolicy p: spec.egress[0].action: \"Allow\" is none of Accept"},
      {kCluster, "[{networks: [10.0.0.1/8]}]", "[]", "ClusterNetworkPolicy p: spec.egress[0].to: must have at least"},
      {kCluster, "{nodes: {}}", "{nodes: {}, namespaces: {}}", "ClusterNetworkPolicy p: spec.egress[1].to[0]: has"},
      {kCluster, "number: 80", "number: 0", "ClusterNetworkPolicy p: spec.egress[0].protocols[0].tcp.destinationPort."},
      {kCluster, "end: 9", "end: 1", "ClusterNetworkPolicy p: spec.ingress[0].protocols[0].udp.destinationPort.range."},
      {kCluster, "protocols: [{tcp", "ports: [{tcp",
       "ClusterNetworkPolicy p: spec.egress[0].ports: is called protocols"},
      {kCluster, "name: p", "name: p, namespace: a",
       "ClusterNetworkPolicy: metadata.namespace: a ClusterNetworkPolicy"},
      {kCluster, "v1alpha2", "v1alpha1",
       "ClusterNetworkPolicy p: apiVersion: must be policy.networking.k8s.io/v1alpha2"},
      {kAdmin, "kind: AdminNetworkPolicy\nmetadata: {name: default}",
       "kind: BaselineAdminNetworkPolicy\nmetadata: {name: other}",
       "BaselineAdminNetworkPolicy other: metadata.name: must be default"},
  };
  check_refused(rows);
}
