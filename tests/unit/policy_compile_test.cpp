// The compiled policy against the oracle: random clusters, policies and probes, and the ports split.
#include <doctest/doctest.h>

#include <algorithm>

#include "loader/state/policy/compile.hpp"
#include "loader/state/policy/ports.hpp"
#include "maps/bytes.hpp"
#include "tests/policy/oracle.hpp"
#include "tests/policy/policy_maps.hpp"
#include "tests/policy/world.hpp"

using namespace sluice;
using namespace sluice::loader::kube;
using namespace sluice::loader::state::policy;
using sluice::test::End;
using sluice::test::oracle_allows;
using sluice::test::PolicyMaps;
using sluice::test::World;
using sluice::test::Worlds;

TEST_CASE("compiled policy and the oracle agree on every probe, after every change") {
  std::size_t probes = 0, allowed = 0;
  Worlds worlds(60);
  while (worlds.next()) {
    World world(worlds.seed());
    Numbering numbers;
    for (int update = 0; update < 10; update++) {
      const PolicyMaps maps(compile(world.cluster(), World::kNode, world.local(), numbers));
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
  Numbering numbers;
  const Tables one = compile(world.cluster(), World::kNode, world.local(), numbers);
  const Tables two = compile(world.cluster(), World::kNode, world.local(), numbers);
  CHECK(std::ranges::equal(one.pods, two.pods, [](const auto& a, const auto& b) {
    return a.first == b.first && maps::same_bytes(a.second, b.second);
  }));
  CHECK(one.peers.size() == two.peers.size());
  CHECK(one.ports.size() == two.ports.size());
  CHECK(one.policies.size() == two.policies.size());
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
