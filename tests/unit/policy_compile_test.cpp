// The compiled policy against the oracle: random clusters, policies and probes, and the ports split.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "loader/state/policy/compile.hpp"
#include "loader/state/policy/ports.hpp"
#include "maps/bytes.hpp"
#include "tests/policy/maps.hpp"
#include "tests/policy/oracle.hpp"
#include "tests/policy/world.hpp"

using namespace sluice;
using namespace sluice::loader::kube;
using namespace sluice::loader::state::policy;
using sluice::test::End;
using sluice::test::oracle_allows;
using sluice::test::PolicyMaps;
using sluice::test::World;
using sluice::test::Worlds;

namespace {

using Objects = std::map<ObjectId, ObjectPtr>;

/// The ids of what is another object in the one than in the other.
std::vector<ObjectId> differences(const Objects& before, const Objects& after) {
  std::vector<ObjectId> ids;
  for (const auto& [id, object] : before)
    if (const auto now = after.find(id); now == after.end() || now->second != object) ids.push_back(id);
  for (const auto& [id, object] : after)
    if (!before.contains(id)) ids.push_back(id);
  return ids;
}

bool same(const Tables& one, const Tables& other) {
  const auto bytes = [](const auto& a, const auto& b) {
    return a.first == b.first && maps::same_bytes(a.second, b.second);
  };
  const auto content = [](const auto& a, const auto& b) {
    return a.first == b.first && content_of(*a.second) == content_of(*b.second);
  };
  const auto address = [](const auto& a, const auto& b) {
    return maps::same_bytes(a.first, b.first) && maps::same_bytes(a.second, b.second);
  };
  return std::ranges::equal(one.pods, other.pods, bytes) && std::ranges::equal(one.policies, other.policies, content) &&
         std::ranges::equal(one.sets, other.sets, content) &&
         std::ranges::equal(one.ipcache().all(), other.ipcache().all(), address);
}

}  // namespace

TEST_CASE("compiled policy and the oracle agree on every probe, after every change") {
  std::size_t probes = 0, allowed = 0;
  Worlds worlds(60);
  while (worlds.next()) {
    World world(worlds.seed());
    Compiler compiler{{}};
    Objects before;
    for (int update = 0; update < 10; update++) {
      // What is kept from the last time is what would be found now.
      const auto changed = differences(before, world.cluster().all());
      const Tables& tables = compiler.run(world.cluster(), World::kNode, world.local(), true, {}, &changed);
      CHECK(same(tables, compile(world.cluster(), World::kNode, world.local(), compiler.numbers())));
      before = world.cluster().all();
      const PolicyMaps maps(tables);
      for (int probe = 0; probe < 300; probe++) {
        const End client = world.end(), server = world.end();
        if (client.address.is_v4() != server.address.is_v4()) continue;
        const Protocol protocol = world.protocol();
        const std::uint16_t port = world.port();
        const bool want = oracle_allows(world.cluster(), World::kNode, client, server, protocol, port);
        const bool got = maps.allow(client.address, server.address, protocol, port);
        probes++;
        allowed += want ? 1 : 0;
        if (want == got) continue;
        FAIL_CHECK("seed ", worlds.seed(), " update ", update, ": ", client.address.text(), " to ",
                   server.address.text(), " ", std::string(text(protocol)), " ", port, ": the oracle ",
                   std::string(want ? "allows" : "denies"));
      }
      world.change();
    }
  }
  MESSAGE(probes, " probes, ", allowed, " of them allowed");
  CHECK(probes >= 100'000);
  CHECK(allowed > probes / 10);
  CHECK(allowed < probes - probes / 10);
}

TEST_CASE("an unchanged cluster has the same numbers, and pods with the same rules share them") {
  World world(3);
  Compiler compiler{{}};
  const Tables one = compiler.run(world.cluster(), World::kNode, world.local(), true, {});
  const std::uint64_t version = one.addresses->version();
  const Tables two = compiler.run(world.cluster(), World::kNode, world.local(), true, {});
  CHECK(same(one, two));
  CHECK(two.addresses->version() == version);
}

TEST_CASE("a range of ports is the fewest prefixes, and the most specific holds the whole answer") {
  Rule all, some;
  all.verdict = {0, 0, maps::POLICY_ALLOW, 0};
  some.verdict = all.verdict;
  all.classes = {1};
  all.ports = {{6, 1000, 1003}};
  some.classes = {2};
  some.ports = {{6, 1002, 1002}};
  const auto entries = split_ports({all, some});
  std::string text;
  for (const PortEntry& entry : entries) {
    text += std::to_string(entry.port) + "/" + std::to_string(entry.length) + ":";
    for (const auto& [peer, verdict] : entry.answer.peers) text += std::to_string(peer);
    text += " ";
  }
  CHECK(text == "1000/15:1 1002/16:12 1003/16:1 ");
}
