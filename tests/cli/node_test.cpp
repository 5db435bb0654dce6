// bpfctl node and bpfctl route.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/e2e/cluster.hpp"
#include "tests/e2e/node_pair.hpp"

using namespace sluice;
using namespace sluice::e2e;
using nlohmann::json;

namespace {

Outcome bpfctl(const NodePair& lab, Command words) {
  words.insert(words.begin(), binary("bpfctl").string());
  return lab.cluster.on_node("node-1", words);
}

json json_of(const NodePair& lab, Command words) {
  words.insert(words.end(), {"-o", "json"});
  const auto outcome = bpfctl(lab, words);
  REQUIRE_MESSAGE(outcome.status == 0, outcome.output);
  return json::parse(outcome.output);
}

/// Of what an object has under these keys.
json values(const json& object, const std::vector<std::string>& keys) {
  json all = json::array();
  for (const auto& key : keys) all.push_back(object.at(key));
  return all;
}

}  // namespace

TEST_CASE("node list and get show each node, the way to its pods, and whether it answers") {
  const struct {
    const char* mode;
    const char* way;
    int mtu;
  } rows[] = {{"native", "route", 1500}, {"overlay", "tunnel", 1450}};
  for (const auto& row : rows) {
    CAPTURE(row.mode);
    const NodePair lab(row.mode);
    const auto list = json_of(lab, {"node", "list"});
    REQUIRE(list.size() == 2);
    CHECK(values(list[0], {"name", "way", "reachability"}) == json({"node-1", "here", "this node"}));
    CHECK(values(list[1], {"name", "way", "device", "mtu"}) == json({"node-2", row.way, "eth0", row.mtu}));
    CHECK(list[1].at("addresses") == json({"172.18.0.12", "fd00:172:18::12"}));
    CHECK(list[1].at("podCIDRs") == json({"10.244.2.0/24", "fd00:10:244:2::/64"}));
    CHECK(received(lab.cluster.exec("here", {"ping", "-c1", "-W2", lab.there.address(true).text()})));
    for (const char* which : {"node-2", "172.18.0.12", "fd00:172:18::12"})
      CHECK(json_of(lab, {"node", "get", which}).at("reachability") == "answers");
    const auto nobody = bpfctl(lab, {"node", "get", "node-9"});
    CHECK(nobody.status == 3);
    CHECK(nobody.output.find("`bpfctl node list` shows those that are") != std::string::npos);
  }
}

TEST_CASE("route get says what becomes of packets to a pod, a node, a Service and the world") {
  const NodePair lab("native");
  lab.apply(balanced_yaml("Cluster") + slices_yaml({&lab.there}));
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    REQUIRE(within(std::chrono::seconds(5), [&] { return lab.answers(v4); }));
    const auto route = [&](const Address& to) { return json_of(lab, {"route", "get", to.text()}); };
    const std::string node = lab.node.address(v4).text(), other = lab.other_node.address(v4).text();
    CHECK(values(route(lab.there.address(v4)), {"who", "way", "node", "device", "nextHop", "source", "mtu"}) ==
          json({"default/there", "route", "node-2", "eth0", other, nullptr, 1500}));
    CHECK(values(route(lab.here.address(v4)), {"who", "way", "mtu"}) == json({"default/here", "pod", 1500}));
    CHECK(values(route(lab.world.address(v4)), {"who", "way", "device", "source"}) ==
          json({"the world", "uplink", "eth0", node}));
    CHECK(values(route(lab.node.address(v4)), {"who", "way"}) == json({"this node", "stack"}));
    CHECK(values(route(lab.other_node.address(v4)), {"who", "way", "node", "source"}) ==
          json({"node node-2", "stack", "node-2", nullptr}));
    CHECK(values(route(vip(v4)), {"who", "way"}) == json({"a Service", "service"}));
    CHECK(values(route(balancer(v4)), {"who", "way"}) == json({"a Service", "service"}));
  }
  const auto shown = bpfctl(lab, {"route", "get", lab.there.address(true).text()});
  CHECK(shown.output.find("it leaves by the uplink as it is") != std::string::npos);
  CHECK(bpfctl(lab, {"route", "get", "here"}).status == 2);

  const NodePair tunnels("overlay");
  CHECK(values(json_of(tunnels, {"route", "get", tunnels.there.address(true).text()}), {"who", "way", "node", "mtu"}) ==
        json({"default/there", "tunnel", "node-2", 1450}));
  CHECK(values(json_of(tunnels, {"route", "get", tunnels.other_node.address(true).text()}), {"way", "source"}) ==
        json({"uplink", tunnels.node.address(true).text()}));
}
