// The truth tables as packets, and what changes do to connections.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include "loader/kube/manifest.hpp"
#include "tests/policy/oracle.hpp"
#include "tests/policy/programs.hpp"
#include "tests/policy/truth.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::loader::kube;
using loader::state::Cluster;

namespace {

constexpr const char* kHere = "node-1";

const std::string kFarObjects = R"(
---
apiVersion: v1
kind: Node
metadata: {name: node-2, labels: {role: there}}
spec: {podCIDRs: [10.244.2.0/24, "fd00:10:244:2::/64"]}
status: {addresses: [{type: InternalIP, address: 172.18.0.12}, {type: InternalIP, address: "fd00:172:18::12"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: far, namespace: y, labels: {app: far}}
spec: {nodeName: node-2, containers: [{name: c}]}
)";

std::array<Address, 2> both(const std::string& v4, const std::string& v6) {
  return {must(Address::parse(v6)), must(Address::parse(v4))};
}

TruthAddresses addresses() {
  TruthAddresses all{{"pods", both("10.244.0.0", "fd00:10:244::")},
                     {kTruthNode, both("172.18.0.11", "fd00:172:18::11")},
                     {kTruthOther, both("172.18.0.12", "fd00:172:18::12")},
                     {kTruthFar, both("10.244.2.2", "fd00:10:244:2::2")},
                     {kTruthWorld, both("198.51.100.9", "2001:db8:9::9")}};
  int number = 2;
  for (const char* pod : kTruthPods) {
    const auto n = std::to_string(number++);
    all[pod] = both("10.244.1." + n, "fd00:10:244:1::" + n);
  }
  return all;
}

/// The programs on node-1 of the truth tables' cluster.
class TruthNode {
 public:
  TruthNode() { apply(truth_cluster() + kFarObjects); }

  /// The objects come or become these.
  void apply(const std::string& yaml) { take(yaml, true); }
  void remove(const std::string& yaml) { take(yaml, false); }

  [[nodiscard]] bool passes(const TruthProbe& probe, const char* flags = "S", std::uint16_t sport = 20000) const {
    return programs.passes(packet(probe, flags, sport));
  }
  [[nodiscard]] bool answers(const TruthProbe& probe) const {
    const Packet asks = packet(probe, "SA", 20000);
    if (is_icmp(probe))
      return programs.passes(pong(at(probe.to, probe.v4, 0), at(probe.from, probe.v4, 0), identifier(probe)));
    return programs.passes(asks.between(at(probe.to, probe.v4, probe.port), at(probe.from, probe.v4, 20000)));
  }
  [[nodiscard]] bool oracle(const TruthProbe& probe) const {
    return oracle_allows(cluster, kHere, end(probe.from, probe.v4), end(probe.to, probe.v4),
                         static_cast<Protocol>(probe.proto), probe.port);
  }

  Cluster cluster;
  Programs programs;
  const TruthAddresses where = addresses();

 private:
  static bool is_icmp(const TruthProbe& probe) { return probe.proto == IPPROTO_ICMP; }
  /// One for each pair and direction, as no two that ping have the same.
  static std::uint16_t identifier(const TruthProbe& probe) {
    return static_cast<std::uint16_t>(std::hash<std::string>()(probe.from + ">" + probe.to));
  }

  [[nodiscard]] std::string at(const std::string& end, bool v4, std::uint16_t port) const {
    const auto text = where.at(end)[v4].text();
    return (v4 ? text : "[" + text + "]") + ":" + std::to_string(port);
  }

  [[nodiscard]] Packet packet(const TruthProbe& probe, const char* flags, std::uint16_t sport) const {
    const auto from = at(probe.from, probe.v4, sport), to = at(probe.to, probe.v4, probe.port);
    if (is_icmp(probe)) return ping(at(probe.from, probe.v4, 0), at(probe.to, probe.v4, 0), identifier(probe));
    return probe.proto == IPPROTO_TCP   ? tcp(from, to, flags)
           : probe.proto == IPPROTO_UDP ? udp(from, to)
                                        : sctp(from, to);
  }

  [[nodiscard]] End end(const std::string& name, bool v4) const {
    End end{nullptr, nullptr, where.at(name)[v4]};
    if (const auto slash = name.find('/'); slash != std::string::npos)
      end.pod = cluster.find({"Pod", name.substr(0, slash), name.substr(slash + 1)});
    if (name == kTruthNode || name == kTruthOther)
      end.node = cluster.find({"Node", "", name == kTruthNode ? "node-1" : "node-2"});
    return end;
  }

  void take(const std::string& yaml, bool there) {
    Batch batch;
    for (Object& object : must(parse_manifest(truth_objects(yaml, where), "objects"))) {
      if (auto* pod = std::get_if<Pod>(&object.body)) {
        const auto& ips = pod->host_network ? where.at(kTruthNode) : where.at(object.id.ns + "/" + object.id.name);
        pod->ips = {ips[1], ips[0]};
      }
      const ObjectId id = object.id;
      batch.changes.push_back({id, there ? std::make_shared<Object>(std::move(object)) : nullptr});
    }
    (void)cluster.take(batch);
    std::vector<loader::state::policy::LocalPod> local;
    for (const std::string pod : kTruthPods)
      if (cluster.find({"Pod", pod.substr(0, 1), pod.substr(2)}) != nullptr)
        local.push_back({pod.substr(0, 1), pod.substr(2), {where.at(pod)[1], where.at(pod)[0]}});
    programs.update(cluster, kHere, local);
  }
};

/// Every pair with a pod of node-1, on every port.
std::vector<TruthProbe> probes() {
  std::vector<std::string> ends(kTruthPods.begin(), kTruthPods.end());
  ends.insert(ends.end(), {kTruthNode, kTruthOther, kTruthFar, kTruthWorld});
  std::vector<TruthProbe> all;
  for (std::size_t from = 0; from < ends.size(); from++) {
    for (std::size_t to = 0; to < ends.size(); to++) {
      if (from >= kTruthPods.size() && to >= kTruthPods.size()) continue;
      for (const bool v4 : {true, false}) {
        for (const std::uint8_t proto : {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP})
          for (const std::uint16_t port : kTruthPorts) all.push_back({ends[from], ends[to], v4, proto, port});
        all.push_back({ends[from], ends[to], v4, IPPROTO_ICMP, 0});
      }
    }
  }
  return all;
}

}  // namespace

TEST_CASE("truth tables: the programs, the oracle and the table agree on every pair of pods and on each port") {
  TruthNode node;
  const auto all = probes();
  for (const Truth& truth : truths()) {
    CAPTURE(std::string(truth.name));
    node.apply(truth.objects);
    std::string wrong;
    std::size_t denied = 0;
    for (const TruthProbe& probe : all) {
      const bool want = truth_allows(truth.says, probe);
      denied += want ? 0 : 1;
      if (node.oracle(probe) != want)
        wrong += "\n  the oracle " + std::string(want ? "denies " : "allows ") + probe.text();
      if (node.passes(probe) != want) wrong += std::string("\n  ") + (want ? "dropped: " : "passed: ") + probe.text();
      if (want && !node.answers(probe)) wrong += "\n  no answer: " + probe.text();
    }
    CHECK_MESSAGE(wrong.empty(), wrong);
    CHECK((denied > 0) == !truth.says.empty());
    if (!truth.objects.empty()) node.remove(truth.objects);
  }
}

TEST_CASE("a label of a pod or of a namespace is all that it takes, whichever way") {
  TruthNode node;
  const auto pod = [](const std::string& app) {
    return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: b, namespace: y, labels: {app: " + app +
           "}}\nspec: {nodeName: node-1, containers: [{name: c}]}\n";
  };
  const auto ns = [](const std::string& team) {
    return "---\n{apiVersion: v1, kind: Namespace, metadata: {name: y, labels: {team: " + team + "}}}\n";
  };
  node.apply(R"(
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: friends, namespace: x}
spec:
  podSelector: {matchLabels: {app: a}}
  ingress: [{from: [{namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchLabels: {app: friend}}}]}]
)");
  const struct {
    const char* app;
    const char* team;
    bool reaches;
  } steps[] = {{"b", "blue", false},    {"friend", "blue", false}, {"friend", "red", true}, {"b", "red", false},
               {"friend", "red", true}, {"friend", "blue", false}, {"b", "blue", false}};
  for (const auto& step : steps) {
    CAPTURE(std::string(step.app));
    CAPTURE(std::string(step.team));
    node.apply(pod(step.app) + ns(step.team));
    for (const bool v4 : {true, false}) {
      // The next packet of a connection that the first step began, and the first one of another.
      CHECK(node.passes({"y/b", "x/a", v4, IPPROTO_TCP, 80}, "A") == step.reaches);
      CHECK(node.passes({"y/b", "x/a", v4, IPPROTO_UDP, 80}) == step.reaches);
    }
  }
  // The selected pod's own label as well.
  node.apply(
      "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x, labels: {app: free}}\n"
      "spec: {nodeName: node-1, containers: [{name: c}]}\n");
  CHECK(node.passes({"y/b", "x/a", true, IPPROTO_TCP, 80}, "A"));
}

TEST_CASE("a new name of a port takes effect on the next packet") {
  TruthNode node;
  const auto server = [](const std::string& port) {
    return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: y, labels: {app: a}}\n"
           "spec: {nodeName: node-1, containers: [{name: c, ports: [{name: web, containerPort: " +
           port + "}]}]}\n";
  };
  node.apply(R"(
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: x}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: web}]}]}
)");
  const TruthProbe at_80{"x/b", "y/a", true, IPPROTO_TCP, 80}, at_81{"x/b", "y/a", true, IPPROTO_TCP, 81};
  CHECK(node.passes(at_80));
  CHECK(!node.passes(at_81));
  node.apply(server("81"));
  CHECK(!node.passes(at_80, "A"));
  CHECK(node.passes(at_81));
}

TEST_CASE(
    "an allowed connection goes on through changes that are not about it, a forbidden one stops at its next packet") {
  TruthNode node;
  const std::string only_b = R"(
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: only-b, namespace: x}
spec: {podSelector: {matchLabels: {app: a}}, ingress: [{from: [{podSelector: {matchLabels: {app: b}}}]}]}
)";
  const TruthProbe mine{"x/b", "x/a", true, IPPROTO_TCP, 80}, other{"x/c", "x/a", true, IPPROTO_TCP, 80};
  REQUIRE(node.passes(mine));
  REQUIRE(node.passes(other));
  REQUIRE(node.answers(mine));
  REQUIRE(node.answers(other));
  node.apply(only_b);
  CHECK(!node.passes(other, "A"));
  CHECK(!node.answers(other));
  const auto dropped = [&] {
    return node.programs.packets(maps::DROP_POLICY_INGRESS) + node.programs.packets(maps::DROP_POLICY_EGRESS);
  };
  const auto before = dropped();
  for (const Truth& truth : truths()) {
    if (!truth_allows(truth.says, mine)) continue;
    CAPTURE(std::string(truth.name));
    node.apply(truth.objects);
    CHECK(node.passes(mine, "A"));
    CHECK(node.answers(mine));
    if (!truth.objects.empty()) node.remove(truth.objects);
    CHECK(node.passes(mine, "A"));
  }
  CHECK(dropped() == before);
  node.programs.restart_agent();
  node.apply(only_b);
  CHECK(node.passes(mine, "A"));
  CHECK(!node.passes(other, "A"));
  node.remove(only_b);
  CHECK(node.passes(other, "A"));
}

TEST_CASE("a pod whose object is not known is reached by its node alone, and reaches nobody") {
  TruthNode node;
  const std::string pod =
      "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}\nspec: {nodeName: node-1, "
      "containers: [{name: c}]}\n";
  const TruthProbe in{"y/a", "x/a", true, IPPROTO_TCP, 80}, out{"x/a", "y/a", true, IPPROTO_TCP, 80},
      probe{kTruthNode, "x/a", true, IPPROTO_TCP, 80};
  // The interface is still there, or there already.
  const auto without_object = [&] {
    (void)node.cluster.take({{{{"Pod", "x", "a"}, nullptr}}, {}});
    node.programs.update(node.cluster, kHere,
                         {{"x", "a", {node.where.at("x/a")[1], node.where.at("x/a")[0]}},
                          {"y", "a", {node.where.at("y/a")[1], node.where.at("y/a")[0]}}});
  };
  without_object();
  CHECK(!node.passes(in));
  CHECK(!node.passes(out));
  CHECK(node.passes(probe));
  node.apply(pod);
  CHECK(node.passes(in, "A"));
  CHECK(node.passes(out, "A"));
}
