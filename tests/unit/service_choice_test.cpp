// Which endpoints of a Service are used, Maglev's table, and the rows of numbers.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "loader/state/service/choice.hpp"
#include "loader/state/service/compile.hpp"
#include "loader/state/service/maglev.hpp"
#include "loader/state/service/ranges.hpp"

using namespace sluice;
using namespace sluice::loader;
using namespace sluice::loader::state::service;

namespace {

const Here kHere{"node-1", "zone-a"};

/// "ready", "serving" (terminating, still serves), "ending" (terminating, does not) or "not ready".
kube::Endpoint endpoint(int number, const std::string& condition, const std::string& node,
                        const std::string& zone_hint = {}, const std::string& node_hint = {}) {
  kube::Endpoint one;
  one.address = *Address::parse("10.0.0." + std::to_string(number));
  one.ready = condition == "ready";
  one.serving = condition == "ready" || condition == "serving";
  one.terminating = condition == "serving" || condition == "ending";
  one.node_name = node;
  if (!zone_hint.empty()) one.for_zones = {zone_hint};
  if (!node_hint.empty()) one.for_nodes = {node_hint};
  return one;
}

kube::ServicePort port(const std::string& name = "web") { return {name, kube::Protocol::kTcp, 80, {8080, ""}, 0}; }

kube::EndpointSlice slice(std::vector<kube::Endpoint> endpoints, std::uint16_t target = 8080,
                          const std::string& name = "web") {
  kube::EndpointSlice one;
  one.service = "s";
  one.ports = {{name, kube::Protocol::kTcp, target}};
  one.endpoints = std::move(endpoints);
  return one;
}

/// The last bytes of the addresses that are chosen.
std::string chosen(const kube::Service& service, const std::vector<kube::EndpointSlice>& slices, bool local_only) {
  std::vector<const kube::EndpointSlice*> pointers;
  for (const auto& one : slices) pointers.push_back(&one);
  const auto all = candidates(service, port(), pointers, true, kHere);
  std::string text;
  for (const std::size_t i : choose(all, local_only, kHere)) {
    const std::string address = all[i].address.text();
    text +=
        address.substr(address.rfind('.') + 1) + (all[i].port != 8080 ? ":" + std::to_string(all[i].port) : "") + " ";
  }
  return text;
}

}  // namespace

TEST_CASE("an endpoint is used when it is ready, and a terminating one that serves when none is") {
  const struct {
    const char* name;
    std::vector<kube::Endpoint> endpoints;
    const char* cluster;
    const char* local;
  } rows[] = {
      {"ready ones", {endpoint(1, "ready", "node-1"), endpoint(2, "ready", "node-2")}, "1 2 ", "1 "},
      {"not ready", {endpoint(1, "not ready", "node-1"), endpoint(2, "ready", "node-2")}, "2 ", ""},
      {"none ready, one serves", {endpoint(1, "serving", "node-1"), endpoint(2, "ending", "node-2")}, "1 ", "1 "},
      {"Local is decided by itself", {endpoint(1, "serving", "node-1"), endpoint(2, "ready", "node-2")}, "2 ", "1 "},
      {"nothing serves", {endpoint(1, "ending", "node-1"), endpoint(2, "not ready", "node-2")}, "", ""},
      {"without a node it is not local", {endpoint(1, "ready", "")}, "1 ", ""},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CHECK(chosen({}, {slice(row.endpoints)}, false) == row.cluster);
    CHECK(chosen({}, {slice(row.endpoints)}, true) == row.local);
  }
}

TEST_CASE("hints count only where every ready endpoint has one and one is for here, and never for Local") {
  const struct {
    const char* name;
    std::vector<kube::Endpoint> endpoints;
    const char* cluster;
  } rows[] = {
      {"all hinted", {endpoint(1, "ready", "n", "zone-a"), endpoint(2, "ready", "n", "zone-b")}, "1 "},
      {"one without", {endpoint(1, "ready", "n", "zone-a"), endpoint(2, "ready", "n")}, "1 2 "},
      {"none for here", {endpoint(1, "ready", "n", "zone-b"), endpoint(2, "ready", "n", "zone-b")}, "1 2 "},
      {"one without that is not ready",
       {endpoint(1, "ready", "n", "zone-a"), endpoint(2, "not ready", "n"), endpoint(3, "ready", "n", "zone-b")},
       "1 "},
      {"the node before the zone",
       {endpoint(1, "ready", "n", "zone-a", "node-2"), endpoint(2, "ready", "n", "zone-a", "node-1")},
       "2 "},
      {"terminating ones are not chosen by hints", {endpoint(1, "serving", "n", "zone-b")}, "1 "},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CHECK(chosen({}, {slice(row.endpoints)}, false) == row.cluster);
  }
  CHECK(chosen({}, {slice({endpoint(1, "ready", "node-1", "zone-b")})}, true) == "1 ");
}

TEST_CASE("publishNotReadyAddresses makes every endpoint ready") {
  kube::Service service;
  service.publish_not_ready = true;
  CHECK(chosen(service, {slice({endpoint(1, "not ready", "n"), endpoint(2, "ending", "n")})}, false) == "1 2 ");
}

TEST_CASE("a health check counts the pods of this node that are ready, and none that only serve still") {
  const auto count = [](const kube::Service& service, const std::vector<kube::Endpoint>& endpoints) {
    const auto one = slice(endpoints), again = slice(endpoints);
    return ready_here(service, {&one, &again}, kHere);
  };
  CHECK(count({}, {endpoint(1, "ready", "node-1"), endpoint(2, "ready", "node-1"), endpoint(3, "ready", "node-2"),
                   endpoint(4, "ready", ""), endpoint(5, "not ready", "node-1")}) == 2);
  CHECK(count({}, {endpoint(1, "serving", "node-1")}) == 0);
  kube::Service eager;
  eager.publish_not_ready = true;
  CHECK(count(eager, {endpoint(1, "not ready", "node-1")}) == 1);
}

TEST_CASE("slices are one list: duplicates count once, ports are matched by name and may differ in number") {
  CHECK(chosen({},
               {slice({endpoint(1, "ready", "n")}), slice({endpoint(1, "not ready", "n"), endpoint(2, "ready", "n")})},
               false) == "1 2 ");
  CHECK(chosen({}, {slice({endpoint(1, "ready", "n")}), slice({endpoint(2, "ready", "n")}, 9090)}, false) ==
        "1 2:9090 ");
  CHECK(chosen({}, {slice({endpoint(1, "ready", "n")}, 8080, "other")}, false).empty());
}

TEST_CASE("an explanation says why an endpoint is not used") {
  const auto one = slice({endpoint(1, "ready", "node-1"), endpoint(2, "not ready", "node-1"),
                          endpoint(3, "serving", "node-1"), endpoint(4, "ready", "node-2")});
  const auto all = candidates({}, port(), {&one}, true, kHere);
  CHECK(explain(all, 0, false, kHere) == "used: ready");
  CHECK(explain(all, 1, false, kHere) == "not used: not ready");
  CHECK(explain(all, 2, false, kHere) == "not used: terminating, and others are ready");
  CHECK(explain(all, 3, true, kHere) == "not used: the traffic policy is Local and it is on another node");
}

TEST_CASE("frontends choose by the policy of their kind, and say whether to drop or to refuse") {
  kube::Object object;
  object.id = {"Service", "default", "s"};
  kube::Service service;
  service.type = kube::Service::Type::kLoadBalancer;
  service.cluster_ips = {*Address::parse("10.96.0.1")};
  service.load_balancer_ips = {*Address::parse("192.0.2.9")};
  service.external_policy = kube::Service::TrafficPolicy::kLocal;
  service.source_ranges = {*Prefix::parse("10.0.0.0/8")};
  service.ports = {port()};
  service.ports[0].node_port = 30080;
  const auto far = slice({endpoint(2, "ready", "node-2")});
  const NodeView node{kHere, {*Address::parse("172.18.0.11")}};
  const auto wanted = compile(object, service, {&far}, node);
  std::map<std::string, const WantedFrontend*> by_name;
  for (const auto& one : wanted.frontends)
    by_name[Address(one.key.addr).text() + ":" + std::to_string(one.key.port.to_host())] = &one;
  REQUIRE(by_name.size() == 4);
  const auto& cluster = *by_name.at("10.96.0.1:80");
  CHECK(cluster.inside.size() == 1);
  CHECK(cluster.flags == 0);
  const auto& balancer = *by_name.at("192.0.2.9:80");
  CHECK(balancer.inside.size() == 1);
  CHECK(balancer.outside.empty());
  CHECK(balancer.flags == (SERVICE_OUTSIDE | SERVICE_KEEP_CLIENT | SERVICE_DROP_OUTSIDE | SERVICE_SOURCE_RANGES));
  const auto& node_port = *by_name.at("172.18.0.11:30080");
  CHECK(node_port.flags == (SERVICE_OUTSIDE | SERVICE_KEEP_CLIENT | SERVICE_DROP_OUTSIDE | SERVICE_NODE_PORT));
  CHECK(by_name.at("10.96.0.1:0")->key.proto == 0);
  // Without any endpoint anywhere Local refuses like the others.
  const auto none = compile(object, service, {}, node);
  for (const auto& one : none.frontends) CHECK((one.flags & (SERVICE_DROP_OUTSIDE | SERVICE_DROP_INSIDE)) == 0);
  service.hands_off = kube::Service::HandsOff::kHeadless;
  CHECK(compile(object, service, {&far}, node).frontends.empty());
}

TEST_CASE("Maglev spreads evenly, and a backend that goes moves nearly none of the others' flows") {
  for (const std::size_t count : {std::size_t{10}, std::size_t{100}, std::size_t{1000}}) {
    CAPTURE(count);
    std::vector<std::string> names;
    for (std::size_t i = 0; i < count; i++) names.push_back("10.0.0." + std::to_string(i) + " 80");
    const auto before = maglev_table(names);
    std::vector<std::size_t> slots(count);
    for (const auto slot : before) slots[slot]++;
    const auto [least, most] = std::minmax_element(slots.begin(), slots.end());
    CHECK(static_cast<double>(*most) / static_cast<double>(*least) < 1.03);
    auto fewer = names;
    fewer.erase(fewer.begin() + 3);
    const auto after = maglev_table(fewer);
    REQUIRE(after.size() == before.size());
    std::size_t moved = 0, kept = 0;
    for (std::size_t i = 0; i < before.size(); i++) {
      if (before[i] == 3) continue;
      (names[before[i]] == fewer[after[i]] ? kept : moved)++;
    }
    CHECK(static_cast<double>(moved) / static_cast<double>(moved + kept) < 0.02);
  }
}

TEST_CASE("rows of numbers are given out whole, used again late, and joined when they come back") {
  Ranges ranges(1, 11);
  CHECK(ranges.take(4) == 1);
  CHECK(ranges.take(4) == 5);
  CHECK(!ranges.take(4));
  ranges.give_back(1, 4);
  CHECK(ranges.take(2) == 9);
  CHECK(ranges.take(4) == 1);
  CHECK(ranges.left() == 0);
  ranges.give_back(5, 4);
  ranges.give_back(1, 4);
  ranges.give_back(9, 2);
  CHECK(ranges.left() == 10);
  CHECK(ranges.take_at(3, 2));
  CHECK(!ranges.take_at(4, 1));
  CHECK(ranges.take(6) == 5);
}
