// Namespaces, nodes and pods.
#include <string>

#include "tests/unit/kube_text.hpp"

using namespace sluice;
using namespace sluice::loader::kube;
using sluice::tests::only;
using sluice::tests::only_body;
using sluice::tests::Refused;
using sluice::tests::with;

namespace {

constexpr const char* kNode = R"(
apiVersion: v1
kind: Node
metadata:
  name: n1
  labels: {topology.kubernetes.io/zone: z1}
status:
  addresses: [{type: InternalIP, address: 192.168.50.11}, {type: ExternalIP, address: 203.0.113.7}]
  conditions: [{type: MemoryPressure, status: "False"}, {type: Ready, status: "True"}]
)";

constexpr const char* kPod = R"(
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  nodeName: n1
  initContainers:
  - {name: prepare, ports: [{containerPort: 1}]}
  - {name: proxy, restartPolicy: Always, ports: [{name: admin, containerPort: 15000}]}
  containers:
  - {name: main, ports: [{name: http, containerPort: 80, hostPort: 8080}, {containerPort: 53, protocol: UDP}]}
  - {name: other}
status:
  phase: Running
  podIP: 10.244.1.5
  podIPs: [{ip: 10.244.1.5}, {ip: "fd00::5"}]
  conditions: [{type: Ready, status: "True"}]
)";

}  // namespace

TEST_CASE("a Namespace has the label of its name, as the API server gives it") {
  const auto object = only("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: a}}}");
  CHECK(std::holds_alternative<Namespace>(object.body));
  CHECK(object.id.text() == "Namespace shop");
  CHECK(object.labels == Labels{{"kubernetes.io/metadata.name", "shop"}, {"team", "a"}});
}

TEST_CASE("a Node has its zone, addresses outside, and whether it is ready") {
  const auto node = only_body<Node>(kNode);
  CHECK(node.zone == "z1");
  CHECK(node.ready);
  CHECK_FALSE(node.excluded_from_load_balancers);
  REQUIRE(node.external_addresses.size() == 1);
  CHECK(node.external_addresses[0].text() == "203.0.113.7");

  CHECK_FALSE(only_body<Node>(with(kNode, "Ready, status: \"True\"", "Ready, status: Unknown")).ready);
  CHECK(only_body<Node>(with(kNode, ", {type: Ready, status: \"True\"}", "")).ready);
  CHECK(
      only_body<Node>(with(kNode, "labels: {", "labels: {node.kubernetes.io/exclude-from-external-load-balancers: '',"))
          .excluded_from_load_balancers);
}

TEST_CASE("a Pod has its addresses, its state, and the ports of all containers that stay") {
  const auto pod = only_body<Pod>(kPod);
  CHECK(pod.phase == Pod::Phase::kRunning);
  CHECK(pod.ready);
  CHECK_FALSE(pod.deleting);
  CHECK_FALSE(pod.ended());
  REQUIRE(pod.ips.size() == 2);
  CHECK(pod.ips[0].text() == "10.244.1.5");
  CHECK(pod.ips[1].text() == "fd00::5");
  CHECK(pod.ports == std::vector<ContainerPort>{{.name = "http", .port = 80, .host_port = 8080},
                                                {.protocol = Protocol::kUdp, .port = 53},
                                                {.name = "admin", .port = 15000}});

  CHECK(only_body<Pod>(with(kPod, "podIPs: [{ip: 10.244.1.5}, {ip: \"fd00::5\"}]", "podIPs:")).ips.size() == 1);
  CHECK(only_body<Pod>(with(kPod, "name: web}", "name: web, deletionTimestamp: '2026-01-01T00:00:00Z'}")).deleting);
  CHECK(only_body<Pod>(with(kPod, "Running", "Failed")).ended());
  const auto bare = only_body<Pod>("{apiVersion: v1, kind: Pod, metadata: {name: a}}");
  CHECK(bare.phase == Pod::Phase::kPending);
  CHECK_FALSE(bare.ready);
}

TEST_CASE("a host port is for one address of the node or for all, and none in the host's network") {
  const auto host_ip = [](const char* address) {
    return only_body<Pod>(with(kPod, "hostPort: 8080", std::string("hostPort: 8080, hostIP: \"") + address + "\""))
        .ports[0]
        .host_ip;
  };
  CHECK(host_ip("192.168.50.11") == tests::must(Address::parse("192.168.50.11")));
  for (const char* all : {"", "0.0.0.0", "::"}) CHECK_FALSE(host_ip(all));
  const auto host = only_body<Pod>(with(with(kPod, "nodeName: n1", "hostNetwork: true"), "8080", "80"));
  CHECK(host.ports[0].host_port == 0);
}

TEST_CASE("a Pod that the API server would refuse is refused") {
  const Refused rows[] = {
      {kPod, "containerPort: 80", "containerPort: 0",
       "Pod default/web: spec.containers[0].ports[0].containerPort: must be from 1 to 65535, not 0"},
      {kPod, "containerPort: 80, ", "", "Pod default/web: spec.containers[0].ports[0].containerPort: is missing"},
      {kPod, "hostPort: 8080", "hostPort: 65536",
       "Pod default/web: spec.containers[0].ports[0].hostPort: must be from"},
      {kPod, "hostPort: 8080", "hostPort: 8.5",
       "Pod default/web: spec.containers[0].ports[0].hostPort: must be a whole"},
      {kPod, "nodeName: n1", "hostNetwork: true",
       "Pod default/web: spec.containers[0].ports[0].hostPort: must be the same as containerPort"},
      {kPod, "name: http", "name: not_a_name", "Pod default/web: spec.containers[0].ports[0].name: \"not_a_name\""},
      {kPod, "protocol: UDP", "protocol: udp",
       "Pod default/web: spec.containers[0].ports[1].protocol: \"udp\" is none of TCP, UDP, SCTP"},
      {kPod, "phase: Running", "phase: Walking", "Pod default/web: status.phase: \"Walking\" is none of Pending"},
      {kPod, "podIP: 10.244.1.5", "podIP: 10.244.1.6", "Pod default/web: status.podIP: must be the first of podIPs"},
      {kPod, "fd00::5", "10.0.0.1", "Pod default/web: status.podIPs[1].ip: there can be only one of each family"},
      {kPod, "{ip: 10.244.1.5}", "{ip: 10.244.1}", "Pod default/web: status.podIPs[0].ip: "},
  };
  check_refused(rows);
}
