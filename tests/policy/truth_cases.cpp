// What Kubernetes promises of NetworkPolicy (networking.k8s.io/v1) and ClusterNetworkPolicy (policy.networking.k8s.io),
// promise by promise.
#include "tests/policy/truth.hpp"

namespace sluice::test {

namespace {

std::string policy(const std::string& ns, const std::string& name, const std::string& spec) {
  return "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " + name + ", namespace: " + ns +
         "}\nspec: " + spec + "\n";
}

/// For the pod `app` of namespace x; `spec` goes on behind the selector.
std::string for_pod(const std::string& app, const std::string& spec = {}) {
  return policy("x", "for-" + app,
                "{podSelector: {matchLabels: {app: " + app + "}}" + (spec.empty() ? "" : ", ") + spec + "}");
}

std::string ingress(const std::string& rules) { return for_pod("a", "ingress: [" + rules + "]"); }
std::string egress(const std::string& rules) { return for_pod("a", "policyTypes: [Egress], egress: [" + rules + "]"); }

std::string cluster_policy(const std::string& name, const std::string& tier, int priority, const std::string& rest) {
  return "---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: " + name +
         "}\nspec: {tier: " + tier + ", priority: " + std::to_string(priority) + ", " + rest + "}\n";
}

const std::string kAll = "namespaceSelector: {}";
const std::string kSubjectA =
    "subject: {pods: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: x}}, "
    "podSelector: {matchLabels: {app: a}}}}";
const std::string kEveryNamespace = "from: [{namespaces: {}}]";

std::vector<Truth> types() {
  return {
      {"without policies, all reach all", "", {}},
      {"without policyTypes a policy isolates for ingress, and only for that", for_pod("a"), {"deny * -> x/a"}},
      {"an empty list of egress rules does not isolate for egress", for_pod("a", "egress: []"), {"deny * -> x/a"}},
      {"without policyTypes an egress rule isolates for egress, too",
       for_pod("a", "egress: [{to: [{podSelector: {}}]}]"),
       {"deny * -> x/a", "deny x/a -> *, node", "allow x/a -> x/*"}},
      {"policyTypes Egress alone leaves ingress open",
       policy("x", "out", "{podSelector: {}, policyTypes: [Egress]}"),
       {"deny x/* -> *, node"}},
      {"rules of a direction that policyTypes does not name are void",
       for_pod("a", "policyTypes: [Ingress], ingress: [{}], egress: [{to: [{podSelector: {}}]}]"),
       {}},
  };
}

std::vector<Truth> ports() {
  return {
      {"an empty list of ports is every port of every protocol",
       ingress("{from: [{podSelector: {matchLabels: {app: b}}}], ports: []}"),
       {"deny * -> x/a", "allow x/b -> x/a"}},
      {"a port without protocol is TCP, and so is an empty entry",
       ingress("{from: [{podSelector: {matchLabels: {app: b}}}], ports: [{port: 81}]}, "
               "{from: [{podSelector: {matchLabels: {app: c}}}], ports: [{}]}"),
       {"deny * -> x/a", "allow x/b -> x/a: tcp/81", "allow x/c -> x/a: tcp"}},
      {"endPort is inclusive",
       ingress("{ports: [{protocol: UDP, port: 53, endPort: 80}]}"),
       {"deny * -> x/a", "allow * -> x/a: udp/53 udp/80"}},
      {"a protocol alone is all its ports",
       ingress("{ports: [{protocol: UDP}]}"),
       {"deny * -> x/a", "allow * -> x/a: udp"}},
      {"a rule for SCTP isolates, and is never one for TCP",
       ingress("{ports: [{protocol: SCTP, port: 80}]}"),
       {"deny * -> x/a", "allow * -> x/a: sctp/80"}},
      {"peers and ports multiply within a rule, never across rules",
       ingress("{from: [{podSelector: {matchLabels: {app: b}}}, {namespaceSelector: {matchLabels: {team: blue}}}], "
               "ports: [{port: 80}, {protocol: UDP, port: 81}]}, "
               "{from: [{podSelector: {matchLabels: {app: c}}}], ports: [{port: 53}]}"),
       {"deny * -> x/a", "allow x/b, y/* -> x/a: tcp/80 udp/81", "allow x/c -> x/a: tcp/53"}},
  };
}

std::vector<Truth> named_ports() {
  return {
      {"on egress a named port is looked up on each destination pod",
       egress("{to: [{" + kAll + "}], ports: [{port: web}]}"),
       {"deny x/a -> *, node", "allow x/a -> */a: tcp/80", "allow x/a -> */b: tcp/81"}},
      {"a named port of another protocol is another port",
       egress("{to: [{" + kAll + "}], ports: [{port: web, protocol: UDP}]}"),
       {"deny x/a -> *, node", "allow x/a -> */c: udp/80"}},
      {"a port's name that no pod has allows nothing",
       egress("{to: [{" + kAll + "}], ports: [{port: nosuch}]}"),
       {"deny x/a -> *, node"}},
      {"a named port towards everyone is one of pods only",
       egress("{ports: [{port: web}]}"),
       {"deny x/a -> *, node", "allow x/a -> */a: tcp/80", "allow x/a -> */b: tcp/81"}},
      {"on ingress a named port is looked up on the pod itself",
       policy("y", "web", "{podSelector: {}, ingress: [{ports: [{port: web}]}]}"),
       {"deny * -> y/a, y/b, y/c", "allow * -> y/a: tcp/80", "allow * -> y/b: tcp/81"}},
  };
}

std::vector<Truth> selectors() {
  return {
      {"no from, and an empty one, is everyone, outside the cluster, too",
       for_pod("a", "ingress: [{ports: [{port: 80}]}]") + for_pod("b", "ingress: [{from: [], ports: [{port: 80}]}]"),
       {"deny * -> x/a, x/b", "allow * -> x/a, x/b: tcp/80"}},
      {"no to, and an empty one, is everyone, outside the cluster, too",
       for_pod("a", "policyTypes: [Egress], egress: [{ports: [{port: 80}]}]") +
           for_pod("b", "policyTypes: [Egress], egress: [{to: [], ports: [{port: 80}]}]"),
       {"deny x/a, x/b -> *, node", "allow x/a, x/b -> *, node: tcp/80"}},
      {"no rules at all is nobody, an empty rule everybody",
       for_pod("a", "ingress: []") + for_pod("b", "policyTypes: [Ingress, Egress], egress: [{}]"),
       {"deny * -> x/a, x/b"}},
      {"an empty podSelector is the policy's own namespace",
       ingress("{from: [{podSelector: {}}]}"),
       {"deny * -> x/a", "allow x/* -> x/a"}},
      {"an empty namespaceSelector is all pods, and nothing outside",
       ingress("{from: [{namespaceSelector: {}}]}"),
       {"deny * -> x/a", "allow */* -> x/a"}},
      {"two selectors in one peer are both to match",
       ingress("{from: [{namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchLabels: {app: b}}}]}"),
       {"deny * -> x/a", "allow x/b, z/b -> x/a"}},
      {"of two peers one is enough",
       ingress("{from: [{namespaceSelector: {matchLabels: {team: blue}}}, {podSelector: {matchLabels: {app: b}}}]}"),
       {"deny * -> x/a", "allow y/*, x/b -> x/a"}},
      {"NotIn and DoesNotExist match what lacks the key",
       ingress("{from: [{namespaceSelector: {matchExpressions: [{key: stage, operator: DoesNotExist}]}, "
               "podSelector: {matchExpressions: [{key: tier, operator: NotIn, values: [back]}]}}]}"),
       {"deny * -> x/a", "allow x/b, y/a, y/b, y/far -> x/a"}},
      {"In, Exists and labels are all to match",
       ingress("{from: [{namespaceSelector: {matchLabels: {team: red}, matchExpressions: [{key: "
               "kubernetes.io/metadata.name, operator: In, values: [y, z]}]}, podSelector: {matchExpressions: [{key: "
               "tier, operator: Exists}]}}]}"),
       {"deny * -> x/a", "allow z/c -> x/a"}},
      {"policies of one pod add up",
       ingress("{from: [{podSelector: {matchLabels: {app: b}}}], ports: [{port: 80}]}") +
           policy("x", "more",
                  "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: c}}}], ports: "
                  "[{port: 81}]}]}"),
       {"deny * -> x/a, x/b, x/c", "allow x/b -> x/a: tcp/80", "allow x/c -> x/a, x/b: tcp/81"}},
  };
}

std::vector<Truth> blocks() {
  return {
      {"except is not a deny: another policy may allow the address",
       ingress("{from: [{ipBlock: {cidr: @pods/16, except: [@x/b/32, @x/c/32]}}]}") +
           policy("x", "c-may",
                  "{podSelector: {matchLabels: {app: a}}, ingress: [{from: [{podSelector: {matchLabels: "
                  "{app: c}}}]}]}"),
       {"deny * -> x/a", "allow */* -> x/a: v4", "deny x/b -> x/a", "allow x/c -> x/a"}},
      {"except is not a deny: another block of the same rule may contain the address",
       ingress("{from: [{ipBlock: {cidr: @pods/16, except: [@x/b/32, @x/c/32]}}, {ipBlock: {cidr: @x/b/32}}]}"),
       {"deny * -> x/a", "allow */* -> x/a: v4", "deny x/c -> x/a"}},
      {"an address in a small block has what the large ones around it allow",
       egress("{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 80}]}, "
              "{to: [{ipBlock: {cidr: @pods/16}}], ports: [{port: 81}]}, "
              "{to: [{ipBlock: {cidr: @y/a/32}}], ports: [{protocol: UDP, port: 53}]}"),
       {"deny x/a -> *, node", "allow x/a -> *, node: v4 tcp/80", "allow x/a -> */*: v4 tcp/81",
        "allow x/a -> y/a: v4 udp/53"}},
      {"a block that contains pods is about them, in both directions",
       ingress("{from: [{ipBlock: {cidr: @x/b6/128}}]}") +
           for_pod("b", "policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: @pods6/48, except: [@y/c6/128]}}]}]"),
       {"deny * -> x/a", "deny x/b -> *, node", "allow x/b -> */*: v6", "deny x/b -> y/c"}},
      {"a block that contains a node is about it",
       egress("{to: [{ipBlock: {cidr: @node/32}}, {ipBlock: {cidr: @other6/128}}]}"),
       {"deny x/a -> *, node", "allow x/a -> node: v4", "allow x/a -> other: v6"}},
      {"other nodes are strangers, and blocks let them in",
       ingress("{from: [{" + kAll + "}, {ipBlock: {cidr: @other/32}}]}"),
       {"deny * -> x/a", "allow */* -> x/a", "allow other -> x/a: v4"}},
      {"a pod in the host's network is no pod to selectors",
       egress("{to: [{" + kAll + "}]}"),
       {"deny x/a -> *, node", "allow x/a -> */*"}},
      {"everything outside, without the pods",
       egress(
           "{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [@pods/16]}}, {ipBlock: {cidr: '::/0', except: [@pods6/48]}}]}"),
       {"deny x/a -> */*"}},
  };
}

std::vector<Truth> sides() {
  const std::string nobody = "{podSelector: {}, policyTypes: [Ingress, Egress]}";
  return {
      {"a pod's own node always reaches it, and a pod itself",
       policy("x", "no", nobody) + policy("y", "no", nobody) + policy("z", "no", nobody),
       {"deny * -> x/a, x/b, x/c, y/a, y/b, y/c, z/a, z/b, z/c",
        "deny x/a, x/b, x/c, y/a, y/b, y/c, z/a, z/b, z/c -> *, node"}},
      {"both sides must allow, and nothing is implied, DNS neither",
       egress("{to: [{podSelector: {matchLabels: {app: b}}}], ports: [{port: 80}, {port: 81}]}") +
           for_pod("b",
                   "ingress: [{from: [{podSelector: {matchLabels: {app: a}}}], ports: [{port: 81}, {protocol: UDP, "
                   "port: 53}]}]"),
       {"deny x/a -> *, node", "deny * -> x/b", "allow x/a -> x/b: tcp/81"}},
  };
}

std::vector<Truth> tiers() {
  return {
      {"Admin comes before NetworkPolicy, both ways",
       cluster_policy("first", "Admin", 1,
                      kSubjectA +
                          ", ingress: [{action: Accept, from: [{pods: {namespaceSelector: {}, podSelector: "
                          "{matchLabels: {app: b}}}}]}, {action: Deny, from: [{namespaces: {matchLabels: {team: "
                          "blue}}}]}]") +
           ingress("{from: [{" + kAll + "}], ports: [{port: 80}]}"),
       {"deny * -> x/a", "allow */* -> x/a: tcp/80", "deny y/* -> x/a", "allow */b -> x/a"}},
      {"the lower priority number comes first, then the order of the rules",
       cluster_policy("later", "Admin", 20, kSubjectA + ", ingress: [{action: Deny, " + kEveryNamespace + "}]") +
           cluster_policy("sooner", "Admin", 10,
                          kSubjectA + ", ingress: [{action: Accept, " + kEveryNamespace +
                              ", protocols: [{tcp: {destinationPort: {number: 80}}}]}, {action: Deny, " +
                              kEveryNamespace +
                              ", protocols: [{tcp: {destinationPort: {range: {start: 80, end: 81}}}}]}]"),
       {"deny */* -> x/a", "allow */* -> x/a: tcp/80"}},
      {"Pass jumps over the other Admin rules to NetworkPolicy",
       cluster_policy("pass", "Admin", 1,
                      kSubjectA +
                          ", ingress: [{action: Pass, from: [{namespaces: {matchLabels: {team: red}}}]}, "
                          "{action: Deny, " +
                          kEveryNamespace + "}]") +
           ingress("{from: [{podSelector: {}}]}"),
       {"deny * -> x/a", "allow x/* -> x/a"}},
      {"being selected by a ClusterNetworkPolicy does not isolate",
       cluster_policy("one", "Admin", 1,
                      kSubjectA + ", ingress: [{action: Accept, from: [{namespaces: {matchLabels: {team: red}}}]}]"),
       {}},
      {"Baseline is asked only in the direction for which no NetworkPolicy selects the pod",
       cluster_policy("base", "Baseline", 1,
                      kSubjectA + ", ingress: [{action: Deny, " + kEveryNamespace +
                          "}], egress: [{action: Deny, to: [{namespaces: {}}]}]") +
           ingress("{from: [{" + kAll + "}]}"),
       {"deny * -> x/a", "allow */* -> x/a", "deny x/a -> */*"}},
      {"networks and nodes are peers on egress, and named ports of pods",
       cluster_policy("out", "Admin", 1,
                      kSubjectA + ", egress: [{action: Accept, to: [{namespaces: {}}], protocols: "
                                  "[{destinationNamedPort: web}]}, {action: Accept, to: [{nodes: {matchLabels: {role: "
                                  "here}}}]}, {action: Deny, to: [{networks: [0.0.0.0/0]}]}]"),
       {"deny x/a -> *, node: v4", "allow x/a -> */a: tcp/80", "allow x/a -> */b: tcp/81", "allow x/a -> */c: udp/80",
        "allow x/a -> node"}},
      {"AdminNetworkPolicy and its Baseline, the forerunners, say the same",
       "---\napiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: old}\nspec: "
       "{priority: 5, " +
           kSubjectA +
           ", ingress: [{action: Allow, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: b}}}}], "
           "ports: [{portNumber: {protocol: TCP, port: 80}}]}]}\n---\napiVersion: "
           "policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\nmetadata: {name: default}\nspec: {" +
           kSubjectA + ", ingress: [{action: Deny, " + kEveryNamespace + "}]}\n",
       {"deny */* -> x/a", "allow */b -> x/a: tcp/80"}},
  };
}

}  // namespace

const std::vector<Truth>& truths() {
  static const auto all = [] {
    std::vector<Truth> cases;
    for (const auto part : {types, ports, named_ports, selectors, blocks, sides, tiers}) {
      auto more = part();
      cases.insert(cases.end(), more.begin(), more.end());
    }
    return cases;
  }();
  return all;
}

}  // namespace sluice::test
