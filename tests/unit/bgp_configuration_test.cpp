#include "loader/bgp/configuration.hpp"

#include <doctest/doctest.h>

#include "loader/bgp/peers.hpp"
#include "loader/kube/manifest.hpp"
#include "tests/unit/net_lab.hpp"

using namespace sluice;
using namespace sluice::loader;
using sluice::tests::must;

namespace {

state::Cluster cluster_of(const std::string& yaml) {
  kube::Batch batch;
  for (const auto& object : must(kube::parse_manifest(yaml, "f")))
    batch.changes.push_back({object.id, std::make_shared<kube::Object>(object)});
  state::Cluster cluster;
  (void)cluster.take(batch);
  return cluster;
}

std::string service(const std::string& name, const std::string& spec, const std::string& ingress = {}) {
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: " + name + "}\nspec: {type: LoadBalancer, " + spec +
         ", ports: [{port: 80}]}\nstatus: {loadBalancer: {ingress: [" + ingress + "]}}\n";
}

std::string slice(const std::string& service, const std::string& node, bool ready) {
  return "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: " + service +
         "-1, labels: {kubernetes.io/service-name: " + service +
         "}}\naddressType: IPv4\nports: [{port: 80}]\nendpoints: [{addresses: [10.0.0.5], nodeName: " + node +
         ", conditions: {ready: " + (ready ? "true" : "false") + "}}]\n";
}

std::vector<std::string> words(const std::vector<Prefix>& blocks) {
  std::vector<std::string> all;
  for (const Prefix& block : blocks) all.push_back(block.text());
  return all;
}

const NodeConfig& config() {
  static const NodeConfig parsed = must(NodeConfig::parse(R"(
nodeAddresses: [2001:db8::1, 192.0.2.1]
podCIDRs: [10.1.0.0/24, "fd01::/64"]
bgp:
  asn: 64512
  peers:
  - {address: 192.0.2.254, asn: 64513, password: "it's secret", bfd: true}
  - {address: "2001:db8::fe", asn: 64512, port: 1179}
)",
                                                          "sluice.yaml"));
  return parsed;
}

}  // namespace

TEST_CASE("announced are the pod CIDRs, and addresses of Services for which clients may come here") {
  const std::string node = "---\napiVersion: v1\nkind: Node\nmetadata: {name: a, labels: {x: y}}\n",
                    ingress = "{ip: 203.0.113.1}";
  const std::vector<std::string> pods = {"10.1.0.0/24", "fd01::/64"};
  const auto with = [&](const char* more) {
    auto all = pods;
    all.insert(all.begin() + 1, more);
    return all;
  };
  const struct {
    const char* name;
    std::string yaml;
    std::vector<std::string> want;
  } rows[] = {
      {"no Service", node, pods},
      {"policy Cluster, without endpoints", node + service("s", "clusterIP: 10.96.0.1", ingress),
       with("203.0.113.1/32")},
      {"an external address", node + service("s", "externalIPs: [198.51.100.7]"), with("198.51.100.7/32")},
      {"policy Local, an endpoint here",
       node + service("s", "externalTrafficPolicy: Local", ingress) + slice("s", "a", true), with("203.0.113.1/32")},
      {"policy Local, elsewhere", node + service("s", "externalTrafficPolicy: Local", ingress) + slice("s", "b", true),
       pods},
      {"policy Local, not ready", node + service("s", "externalTrafficPolicy: Local", ingress) + slice("s", "a", false),
       pods},
      {"the node is excluded",
       "---\napiVersion: v1\nkind: Node\nmetadata: {name: a, labels: "
       "{node.kubernetes.io/exclude-from-external-load-balancers: ''}}\n" +
           service("s", "clusterIP: 10.96.0.1", ingress),
       pods},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CHECK(words(bgp::announced(cluster_of(row.yaml), "a", config())) == row.want);
  }
}

TEST_CASE("BIRD is told of each peer, its family, its password and BFD, and what to announce") {
  const auto announced = bgp::announced(cluster_of(""), "a", config());
  const auto made = must(bgp::configuration(config(), announced));
  for (const char* text :
       {"router id 192.0.2.1;", "route 10.1.0.0/24 blackhole;", "route fd01::/64 blackhole;", "protocol bfd sluice_bfd",
        "neighbor 192.0.2.254 port 179 as 64513;\n  password \"it's secret\";\n  bfd on;\n  allow local as 1;\n  ipv4 "
        "{",
        "neighbor 2001:db8::fe port 1179 as 64512;\n  ipv6 {"})
    CHECK_MESSAGE(made.text.find(text) != std::string::npos, text << " in\n" << made.text);
  CHECK(made.text.find(made.mark) != std::string::npos);
  // The mark is of the text: another one where anything differs, the same where nothing does.
  CHECK(must(bgp::configuration(config(), announced)).mark == made.mark);
  CHECK(must(bgp::configuration(config(), {})).mark != made.mark);
  NodeConfig none = config();
  none.bgp.reset();
  CHECK(must(bgp::configuration(none, announced)).text.find("bgp sluice_peer") == std::string::npos);
  NodeConfig v6 = config();
  v6.node_addresses.pop_back();
  CHECK(bgp::configuration(v6, {}).failed_with(EINVAL));
  v6.bgp->router_id = must(Address::parse("192.0.2.9"));
  CHECK(must(bgp::configuration(v6, {})).text.find("router id 192.0.2.9;") != std::string::npos);
}

TEST_CASE("what BIRD says of its protocols is read") {
  const auto peers = bgp::peers_in(
      {"Name       Proto      Table      State  Since         Info",
       "sluice_bfd BFD        ---        up     11:38:27.709  ",
       "sluice_peer_1 BGP        ---        up     11:38:31.903  Established   ", "  BGP state:          Established",
       "    Neighbor address: 172.18.0.1", "    Neighbor AS:      64513", "  Channel ipv4",
       "    Routes:         3 imported, 12 exported, 3 preferred",
       "    Route change stats:     received   rejected   filtered    ignored   accepted",
       "sluice_peer_2 BGP        ---        start  11:40:01.003  Active        Socket: refused",
       "  BGP state:          Active", "    Neighbor address: 2001:db8::fe", "    Neighbor AS:      64512",
       "    Last error:       Socket: Connection refused"});
  REQUIRE(peers.size() == 2);
  CHECK(peers[0].protocol == "sluice_peer_1");
  CHECK(peers[0].address == "172.18.0.1");
  CHECK(peers[0].asn == 64513);
  CHECK(peers[0].state == "Established");
  CHECK(peers[0].since == "11:38:31.903");
  CHECK(peers[0].imported == 3);
  CHECK(peers[0].exported == 12);
  CHECK(peers[0].error.empty());
  CHECK(peers[1].state == "Active");
  CHECK(peers[1].error == "Socket: Connection refused");
}
