// Services and EndpointSlices.
#include <string>

#include "tests/unit/kube_text.hpp"

using namespace sluice;
using namespace sluice::loader::kube;
using sluice::tests::must;
using sluice::tests::only_body;
using sluice::tests::Refused;
using sluice::tests::with;

namespace {

constexpr const char* kMinimal = R"(
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
)";

constexpr const char* kFull = R"(
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, "fd00:96::10"]
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  ports:
  - {name: http, port: 80, targetPort: 8080, nodePort: 30080, appProtocol: http}
  - {name: dns, port: 53, targetPort: dns, protocol: UDP, nodePort: 30053}
  selector: {app: web}
  externalIPs: [203.0.113.9]
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}
  internalTrafficPolicy: Local
  externalTrafficPolicy: Local
  healthCheckNodePort: 32000
  loadBalancerSourceRanges: [" 10.0.0.1/8 ", "fd00::/8"]
  loadBalancerClass: example.com/lb
  publishNotReadyAddresses: true
  trafficDistribution: PreferClose
status: {loadBalancer: {ingress: [{ip: 203.0.113.1}, {ip: 203.0.113.2, ipMode: Proxy}, {hostname: lb.example.com}]}}
)";

constexpr const char* kSlice = R"(
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: dns, port: 53, protocol: UDP}, {name: none}]
endpoints:
- {addresses: [10.244.1.5, 10.244.1.6], nodeName: n1, zone: z1, targetRef: {kind: Pod, name: web-1},
   hints: {forZones: [{name: z1}, {name: z2}], forNodes: [{name: n1}]}, conditions: {ready: true}}
- {addresses: [10.244.2.5]}
)";

}  // namespace

TEST_CASE("a Service has the API server's defaults") {
  const auto service = only_body<Service>(kMinimal);
  CHECK(service == Service{.cluster_ips = {must(Address::parse("10.96.0.10"))},
                           .ports = {{.port = 80, .target = {.number = 80, .name = ""}}}});
  CHECK(only_body<Service>(with(kMinimal, "port: 80", "port: 80, targetPort: 0")).ports[0].target.number == 80);
  CHECK(only_body<Service>(with(kMinimal, "spec: {", "spec: {sessionAffinity: ClientIP, ")).affinity_seconds == 10800);
}

TEST_CASE("a Service has all that it says") {
  const auto service = only_body<Service>(kFull);
  CHECK(service.type == Service::Type::kLoadBalancer);
  CHECK(service.hands_off == Service::HandsOff::kNo);
  REQUIRE(service.cluster_ips.size() == 2);
  CHECK(service.cluster_ips[1].text() == "fd00:96::10");
  REQUIRE(service.ports.size() == 2);
  CHECK(service.ports[0] == ServicePort{.name = "http", .port = 80, .target = {.number = 8080}, .node_port = 30080});
  CHECK(service.ports[1].protocol == Protocol::kUdp);
  CHECK(service.ports[1].target.text() == "dns");
  CHECK(service.selector.at("app") == "web");
  CHECK(service.external_ips == std::vector{must(Address::parse("203.0.113.9"))});
  CHECK(service.affinity_seconds == 60);
  CHECK(service.internal_policy == Service::TrafficPolicy::kLocal);
  CHECK(service.external_policy == Service::TrafficPolicy::kLocal);
  CHECK(service.health_check_node_port == 32000);
  REQUIRE(service.source_ranges.size() == 2);
  CHECK(service.source_ranges[0].text() == "10.0.0.0/8");
  CHECK(service.load_balancer_class == "example.com/lb");
  CHECK(service.publish_not_ready);
  CHECK(service.distribution == Service::Distribution::kSameZone);
  CHECK(service.load_balancer_ips == std::vector{must(Address::parse("203.0.113.1"))});
  CHECK(service.proxied_ips == std::vector{must(Address::parse("203.0.113.2"))});
}

TEST_CASE("services that a proxy leaves alone say why") {
  using HandsOff = Service::HandsOff;
  const struct {
    const char* old_words;
    const char* new_words;
    HandsOff want;
  } rows[] = {
      {"clusterIP: 10.96.0.10", "clusterIP: None", HandsOff::kHeadless},
      {"clusterIP: 10.96.0.10", "clusterIPs: [None]", HandsOff::kHeadless},
      {"clusterIP: 10.96.0.10, ports: [{port: 80}]", "clusterIP: None", HandsOff::kHeadless},
      {"clusterIP: 10.96.0.10, ports: [{port: 80}]", "type: ExternalName, externalName: a.example.com",
       HandsOff::kExternalName},
      {"name: web", "name: web, labels: {service.kubernetes.io/headless: ''}", HandsOff::kHeadlessLabel},
      {"name: web", "name: web, labels: {service.kubernetes.io/service-proxy-name: mine}", HandsOff::kOtherProxy},
      {"name: web", "name: web", HandsOff::kNo},
  };
  for (const auto& row : rows) {
    CAPTURE(std::string(row.new_words));
    CHECK(only_body<Service>(with(kMinimal, row.old_words, row.new_words)).hands_off == row.want);
  }
}

TEST_CASE("a status of a Service that is no load balancer any more says nothing") {
  const auto text = with(kMinimal, "spec:", "status: {loadBalancer: {ingress: [{ip: 203.0.113.1}]}}\nspec:");
  CHECK(only_body<Service>(text).load_balancer_ips.empty());
}

TEST_CASE("a Service that the API server would refuse is refused") {
  const Refused rows[] = {
      {kMinimal, "{port: 80}", "", "Service default/web: spec.ports: is missing"},
      {kMinimal, "port: 80", "port: 70000", "Service default/web: spec.ports[0].port: must be from 1 to 65535"},
      {kMinimal, "port: 80", "port: '80'", "Service default/web: spec.ports[0].port: must be a whole number"},
      {kMinimal, "port: 80", "port: 80, targetPort: '80'", "Service default/web: spec.ports[0].targetPort: \"80\" is"},
      {kMinimal, "port: 80", "port: 80, nodePort: 30080",
       "Service default/web: spec.ports[0].nodePort: needs the type"},
      {kMinimal, "{port: 80}", "{port: 80}, {port: 81}", "Service default/web: spec.ports[0].name: is missing"},
      {kMinimal, "spec: {", "spec: {type: Cluster, ",
       "Service default/web: spec.type: \"Cluster\" is none of ClusterIP"},
      {kMinimal, "10.96.0.10", "10.96.0", "Service default/web: spec.clusterIP: "},
      {kMinimal, "spec: {clusterIP: 10.96.0.10", "spec: {type: NodePort, clusterIP: None",
       "Service default/web: spec.clusterIP: cannot be None"},
      {kMinimal, "spec: {", "spec: {type: ExternalName, ", "Service default/web: spec.externalName: is missing"},
      {kMinimal, "spec: {", "spec: {externalTrafficPolicy: Local, ",
       "Service default/web: spec.externalTrafficPolicy: needs the type"},
      {kMinimal, "spec: {", "spec: {healthCheckNodePort: 3, ", "Service default/web: spec.healthCheckNodePort: needs"},
      {kMinimal, "spec: {", "spec: {loadBalancerSourceRanges: [10.0.0.0/8], ",
       "Service default/web: spec.loadBalancerSourceRanges: needs the type LoadBalancer"},
      {kMinimal, "spec: {", "spec: {externalIPs: [127.0.0.1], ", "Service default/web: spec.externalIPs[0]: 127.0.0.1"},
      {kMinimal, "spec: {", "spec: {sessionAffinityConfig: {clientIP: {timeoutSeconds: 5}}, ",
       "Service default/web: spec.sessionAffinityConfig.clientIP.timeoutSeconds: needs sessionAffinity ClientIP"},
      {kFull, "timeoutSeconds: 60", "timeoutSeconds: 86401",
       "Service default/web: spec.sessionAffinityConfig.clientIP.timeoutSeconds: must be from 1 to 86400"},
      {kFull, "clusterIP: 10.96.0.10", "clusterIP: 10.96.0.11",
       "Service default/web: spec.clusterIP: must be the first"},
      {kFull, "\"fd00:96::10\"", "10.96.0.11",
       "Service default/web: spec.clusterIPs[1]: there can be only one of each"},
      {kFull, "\"fd00:96::10\"", "None", "Service default/web: spec.clusterIPs[1]: None must stand alone"},
      {kFull, "[IPv4, IPv6]", "[IPv6, IPv4]", "Service default/web: spec.ipFamilies[0]: clusterIPs[0] is not of this"},
      {kFull, "RequireDualStack", "SingleStack", "Service default/web: spec.ipFamilyPolicy: SingleStack allows one"},
      {kFull, "name: dns", "name: http", "Service default/web: spec.ports[1]: the name \"http\" is another port's too"},
      {kFull, "port: 53, targetPort: dns, protocol: UDP", "port: 80",
       "Service default/web: spec.ports[1]: the port is there twice"},
      {kFull, "dns, protocol: UDP, nodePort: 30053", "dns, nodePort: 30080",
       "Service default/web: spec.ports[1]: the nodePort is there twice"},
      {kFull, "10.0.0.1/8", "10.0.0.1", "Service default/web: spec.loadBalancerSourceRanges[0]: \"10.0.0.1\" is not"},
      {kFull, "ipMode: Proxy", "ipMode: proxy",
       "Service default/web: status.loadBalancer.ingress[1].ipMode: \"proxy\" is none of VIP, Proxy"},
  };
  check_refused(rows);
}

TEST_CASE("an EndpointSlice has its ports and endpoints") {
  const auto slice = only_body<EndpointSlice>(kSlice);
  CHECK(slice.service == "web");
  CHECK(slice.ports == std::vector<EndpointPort>{{.name = "http", .port = 8080},
                                                 {.name = "dns", .protocol = Protocol::kUdp, .port = 53}});
  REQUIRE(slice.endpoints.size() == 2);
  CHECK(slice.endpoints[0] == Endpoint{.address = must(Address::parse("10.244.1.5")),
                                       .node_name = "n1",
                                       .zone = "z1",
                                       .for_zones = {"z1", "z2"},
                                       .for_nodes = {"n1"},
                                       .pod = "web-1"});
  CHECK(slice.endpoints[1] == Endpoint{.address = must(Address::parse("10.244.2.5"))});
}

TEST_CASE("conditions that an endpoint does not state have their defaults") {
  const struct {
    const char* conditions;
    bool ready, serving, terminating;
  } rows[] = {
      {"{}", true, true, false},
      {"{ready: null}", true, true, false},
      {"{ready: true}", true, true, false},
      {"{ready: false}", false, false, false},
      {"{ready: false, serving: true, terminating: true}", false, true, true},
      {"{ready: true, serving: false}", true, false, false},
      {"{terminating: true}", true, true, true},
  };
  for (const auto& row : rows) {
    CAPTURE(std::string(row.conditions));
    const auto endpoint = only_body<EndpointSlice>(with(kSlice, "{ready: true}", row.conditions)).endpoints[0];
    CHECK(endpoint.ready == row.ready);
    CHECK(endpoint.serving == row.serving);
    CHECK(endpoint.terminating == row.terminating);
  }
}

TEST_CASE("a slice of host names has no endpoints to use") {
  const auto text = with(with(kSlice, "IPv4", "FQDN"), "10.244.2.5", "a.example.com");
  CHECK(only_body<EndpointSlice>(text).endpoints.empty());
}

TEST_CASE("an EndpointSlice that the API server would refuse is refused") {
  const Refused rows[] = {
      {kSlice, "addressType: IPv4\n", "", "EndpointSlice default/web-1: addressType: is missing"},
      {kSlice, "addressType: IPv4", "addressType: IPv5", "EndpointSlice default/web-1: addressType: \"IPv5\" is none"},
      {kSlice, "10.244.2.5", "\"fd00::5\"",
       "EndpointSlice default/web-1: endpoints[1].addresses[0]: is not of the slice's addressType"},
      {kSlice, "10.244.2.5", "", "EndpointSlice default/web-1: endpoints[1].addresses: is missing"},
      {kSlice, "10.244.2.5", "127.0.0.1", "EndpointSlice default/web-1: endpoints[1].addresses[0]: 127.0.0.1 is no"},
      {kSlice, "name: dns", "name: http", "EndpointSlice default/web-1: ports[1].name: \"http\" is another port's too"},
      {kSlice, "port: 53", "port: 0", "EndpointSlice default/web-1: ports[1].port: must be from 1 to 65535"},
      {kSlice, "{ready: true}", "{ready: 1}",
       "EndpointSlice default/web-1: endpoints[0].conditions.ready: must be true"},
      {kSlice, "discovery.k8s.io/v1", "discovery.k8s.io/v1beta1",
       "EndpointSlice default/web-1: apiVersion: must be discovery.k8s.io/v1 for a EndpointSlice"},
  };
  check_refused(rows);
}
