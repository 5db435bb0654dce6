#include "tests/e2e/service_world.hpp"

namespace sluice::e2e {

Address vip(bool v4) { return must(Address::parse(v4 ? "10.96.0.1" : "fd00:10:96::1")); }

std::string service_yaml(const std::string& extra) {
  return R"(---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  clusterIPs: [10.96.0.1, "fd00:10:96::1"]
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  ports: [{name: tcp, port: 80, targetPort: 8080}, {name: udp, protocol: UDP, port: 80, targetPort: 8080}]
)" + extra;
}

std::string slices_yaml(const std::vector<const Place*>& endpoints) {
  std::string yaml;
  for (const bool v4 : kFamilies) {
    yaml += "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-" +
            std::string(v4 ? "4" : "6") + ", namespace: default, labels: {kubernetes.io/service-name: web}}\n" +
            "addressType: " + (v4 ? "IPv4" : "IPv6") +
            "\nports: [{name: tcp, port: 8080, protocol: TCP}, {name: udp, port: 8080, protocol: UDP}]\nendpoints:\n";
    for (const Place* endpoint : endpoints)
      yaml += "- {addresses: [\"" + endpoint->address(v4).text() + "\"], nodeName: " + endpoint->node + "}\n";
    if (endpoints.empty()) yaml += "  []\n";
  }
  return yaml;
}

namespace {

std::string world_yaml(const std::string& node_annotation) {
  std::string node = node_yaml(1);
  const std::string plain = "metadata: {name: node-1}";
  if (!node_annotation.empty())
    node.replace(node.find(plain), plain.size(), "metadata:\n  name: node-1\n  annotations: {" + node_annotation + "}");
  return node + pod_yaml("client", "node-1") + pod_yaml("web", "node-1") + pod_yaml("two", "node-1");
}

}  // namespace

World::World(const std::string& node_annotation) : cluster(world_yaml(node_annotation)) {}

void World::apply(const std::string& yaml) const {
  const TextFile file(yaml);
  const auto outcome = cluster.lab({"apply", file.path()});
  REQUIRE_MESSAGE(outcome.status == 0, outcome.output);
}

std::string World::answers(const Place& from, bool v4, bool hooks) const {
  const Socket at_web = must(Socket::tcp_listener(web.netns, web.address(v4), kTargetPort));
  const Socket at_two = must(Socket::tcp_listener(two.netns, two.address(v4), kTargetPort));
  const auto asks = Socket::tcp_connected(hooks ? from.home() : Home(from.netns), vip(v4), kServicePort);
  if (!asks) return "nobody: " + asks.error().message;
  for (const auto& [name, listener] : {std::pair("web", &at_web), std::pair("two", &at_two)}) {
    auto accepted = listener->accept_now();
    if (!accepted) continue;
    CHECK(accepted->second == from.address(v4));
    must(accepted->first.send("hello"));
    CHECK(must(asks->read(5)) == "hello");
    return name;
  }
  return "nobody";
}

}  // namespace sluice::e2e
