#include "loader/state/nodes.hpp"

#include <doctest/doctest.h>

#include "loader/kube/manifest.hpp"
#include "tests/unit/net_lab.hpp"

using namespace sluice;                 // NOLINT(google-build-using-namespace)
using namespace sluice::loader;         // NOLINT(google-build-using-namespace)
using namespace sluice::loader::state;  // NOLINT(google-build-using-namespace)
using sluice::tests::must;

namespace {

std::string node(const std::string& name, const std::string& addresses, const std::string& cidrs) {
  std::string status;
  for (std::size_t at = 0; at < addresses.size();) {
    const auto end = std::min(addresses.find(' ', at), addresses.size());
    status += "{type: InternalIP, address: '" + addresses.substr(at, end - at) + "'}, ";
    at = end + 1;
  }
  return "---\napiVersion: v1\nkind: Node\nmetadata: {name: " + name + "}\nspec: {podCIDRs: [" + cidrs +
         "]}\nstatus: {addresses: [" + status + "]}\n";
}

NodePlan plan(const std::string& yaml, const NodeNumbers& known = {}, std::uint32_t capacity = 64) {
  const auto objects = must(kube::parse_manifest(yaml, "f"));
  NodesByName nodes;
  for (const auto& object : objects) nodes.emplace(object.id.name, &std::get<kube::Node>(object.body));
  return plan_nodes(nodes, "a", known, capacity);
}

Address address(const char* text) { return must(Address::parse(text)); }
Prefix prefix(const char* text) { return must(Prefix::parse(text)); }

/// "10.2.0.0/24 is 0 behind 1"
std::vector<std::string> words(const NodePlan& plan) {
  std::vector<std::string> all;
  for (const auto& [block, entry] : plan.prefixes)
    all.push_back(block.text() + " is " + std::to_string(entry.identity) + " behind " + std::to_string(entry.node));
  return all;
}

const std::string kHere = node("a", "192.0.2.1 2001:db8::1", "10.1.0.0/24");
const std::string kOther = node("b", "2001:db8::2 192.0.2.2", "10.2.0.0/24, 'fd02::/64'");

}  // namespace

TEST_CASE("the other nodes' pod CIDRs are behind them, and all nodes' addresses are nodes'") {
  const auto made = plan(kOther + kHere);
  CHECK(made.warnings.empty());
  CHECK(made.nodes == NodeNumbers{{address("192.0.2.2"), 1}});  // this node's first address is IPv4
  CHECK(words(made) == std::vector<std::string>{"192.0.2.1/32 is 1 behind 0", "2001:db8::1/128 is 1 behind 0",
                                                "2001:db8::2/128 is 2 behind 1", "192.0.2.2/32 is 2 behind 1",
                                                "10.2.0.0/24 is 0 behind 1", "fd02::/64 is 0 behind 1"});
}

TEST_CASE("a route to a node's pods goes by its first address of their family") {
  const auto made = plan(kHere + kOther + node("c", "192.0.2.3", "'fd03::/64'"));
  std::vector<std::string> routes;
  for (const PodRoute& one : made.routes)
    routes.push_back(one.node + " " + std::to_string(one.number) + " " + one.pods.text() + " by " +
                     (one.by ? one.by->text() : "nobody"));
  CHECK(routes == std::vector<std::string>{"b 1 10.2.0.0/24 by 192.0.2.2", "b 1 fd02::/64 by 2001:db8::2",
                                           "c 2 fd03::/64 by nobody"});
}

TEST_CASE("who is behind which node is asked by block, and a block around a node's is behind none") {
  const auto made = plan(kHere + kOther);
  const struct {
    const char* block;
    std::uint32_t node;
  } rows[] = {{"10.2.0.7", 1}, {"10.2.0.0/25", 1}, {"10.2.0.0/24", 1}, {"10.2.0.0/16", 0}, {"0.0.0.0/0", 0},
              {"10.1.0.7", 0}, {"fd02::7", 1},     {"::/0", 0},        {"192.0.2.2", 1},   {"192.0.2.1", 0}};
  for (const auto& row : rows) {
    CAPTURE(std::string(row.block));
    CHECK(made.node_of(prefix(row.block)) == row.node);
  }
}

TEST_CASE("a node keeps its number as long as it has its address, and the lowest free one is the next's") {
  const std::string third = node("c", "192.0.2.3", "10.3.0.0/24"), fourth = node("d", "192.0.2.4", "10.4.0.0/24");
  auto known = plan(kHere + kOther + third).nodes;
  CHECK(known == NodeNumbers{{address("192.0.2.2"), 1}, {address("192.0.2.3"), 2}});
  known = plan(kHere + third, known).nodes;
  CHECK(known == NodeNumbers{{address("192.0.2.3"), 2}});
  known = plan(kHere + fourth + third, known).nodes;
  CHECK(known == NodeNumbers{{address("192.0.2.3"), 2}, {address("192.0.2.4"), 1}});
  // A new address may be another machine's: it gets a new number, although the name is known.
  CHECK(plan(kHere + node("c", "192.0.2.33", "10.3.0.0/24"), known).nodes == NodeNumbers{{address("192.0.2.33"), 3}});
}

TEST_CASE("a node that cannot be reached is told of, and the others are") {
  const struct {
    std::string yaml;
    std::uint32_t capacity;
    const char* warning;
  } rows[] = {
      {kOther, 64, "there is no Node a: other nodes are not reached"},
      {node("a", "192.0.2.1", "") + node("c", "2001:db8::3", "10.3.0.0/24") + kOther, 64,
       "Node c has no InternalIP of a family that this node has, too"},
      {kHere + kOther + node("c", "192.0.2.2", "10.3.0.0/24"), 64, "Node c has the address 192.0.2.2 of another"},
      {kHere + kOther + node("c", "192.0.2.3", "10.3.0.0/24"), 2, "Node c is not reached: the map nodes is full"},
  };
  for (const auto& row : rows) {
    const auto made = plan(row.yaml, {}, row.capacity);
    REQUIRE(made.warnings.size() == 1);
    CHECK_MESSAGE(made.warnings[0].starts_with(row.warning), made.warnings[0]);
    CHECK(made.node_of(prefix("10.3.0.0/24")) == 0);
    if (&row != &rows[0]) CHECK(made.node_of(prefix("10.2.0.0/24")) == 1);
  }
}
