// The compiled policy against the oracle: random clusters, policies and probes, and the ports split.
#include <doctest/doctest.h>

#include <cstring>

#include "loader/state/policy/compile.hpp"
#include "loader/state/policy/ports.hpp"
#include "tests/policy/oracle.hpp"
#include "tests/policy/world.hpp"

using namespace sluice;
using namespace sluice::loader::kube;
using namespace sluice::loader::state::policy;
using sluice::test::End;
using sluice::test::oracle_allows;
using sluice::test::World;
using sluice::test::Worlds;

namespace {

/// The datapath's own way through the maps: bpf/lib/policy.h, with tables for maps.
bool denies(const Tables& tables, std::uint32_t id, std::uint32_t identity, std::uint32_t blocks, Protocol protocol,
            std::uint16_t port) {
  if (id == 0) return false;
  const auto policy = tables.policies.find(id);
  if (policy == tables.policies.end() || (policy->second.flags & POLICY_IN_FORCE) == 0) return true;
  const auto find = [&](std::uint8_t proto, std::uint16_t prefix, unsigned length) -> const maps::policy_port* {
    const auto found = tables.ports.find({id, maps::be16::from_host(prefix), proto, static_cast<__u8>(length)});
    return found != tables.ports.end() ? &found->second : nullptr;
  };
  const maps::policy_port* entry = nullptr;
  for (int length = 16; length >= 0 && entry == nullptr; length--)
    if ((policy->second.port_lengths & 1U << length) != 0)
      entry = find(static_cast<std::uint8_t>(protocol), static_cast<std::uint16_t>(port & (0xffff0000U >> length)),
                   static_cast<unsigned>(length));
  if (entry == nullptr) entry = find(0, 0, 0);
  maps::peer_verdict said{};
  if (entry != nullptr) {
    said = entry->everyone;
    for (const std::uint32_t peer : {identity, blocks}) {
      if (entry->set == 0 || peer == 0) continue;
      const auto found = tables.peers.find({entry->set, peer});
      if (found != tables.peers.end()) maps::policy_combine(&said, &found->second);
    }
  }
  return maps::policy_allows(maps::policy_deciding_tier(&said, policy->second.flags), policy->second.flags) == 0;
}

struct Classes {
  std::uint32_t identity, blocks;
};

/// The longest prefix of ipcache, as the trie finds it.
Classes classes_of(const Tables& tables, const End& end) {
  const auto pod = tables.pods.find(end.address);
  if (pod != tables.pods.end()) return {pod->second.identity, pod->second.blocks};
  for (unsigned length = 128;; length--) {
    maps::ipcache_key key{length, {}};
    const maps::addr wire = Prefix{end.address, 128}.address.wire();
    std::uint8_t bytes[16];
    std::memcpy(bytes, wire.word, 16);
    for (unsigned bit = length; bit < 128; bit++) bytes[bit / 8] &= static_cast<std::uint8_t>(~(0x80 >> bit % 8));
    std::memcpy(key.word, bytes, 16);
    const auto found = tables.ipcache.find(key);
    if (found != tables.ipcache.end()) return {found->second.identity, found->second.blocks};
    if (length == 0) return {maps::IDENTITY_WORLD, 0};
  }
}

bool tables_allow(const Tables& tables, const End& client, const End& server, Protocol protocol, std::uint16_t port) {
  const auto from = tables.pods.find(client.address), to = tables.pods.find(server.address);
  const Classes client_classes = classes_of(tables, client), server_classes = classes_of(tables, server);
  if (from != tables.pods.end() && to != tables.pods.end() && client.pod == server.pod) return true;
  if (from != tables.pods.end() &&
      denies(tables, from->second.egress, server_classes.identity, server_classes.blocks, protocol, port))
    return false;
  if (to == tables.pods.end() || client_classes.identity == maps::IDENTITY_HOST) return true;
  return !denies(tables, to->second.ingress, client_classes.identity, client_classes.blocks, protocol, port);
}

}  // namespace

TEST_CASE("compiled policy and the oracle agree on every probe, after every change") {
  std::size_t probes = 0, allowed = 0;
  Worlds worlds(60);
  while (worlds.next()) {
    World world(worlds.seed());
    Numbering numbers;
    for (int update = 0; update < 10; update++) {
      const Tables tables = compile(world.cluster(), World::kNode, world.local(), numbers);
      for (int probe = 0; probe < 300; probe++) {
        const End client = world.end(), server = world.end();
        if (client.address.is_v4() != server.address.is_v4()) continue;
        const Protocol protocol = world.protocol();
        const std::uint16_t port = world.port();
        const bool want = oracle_allows(world.cluster(), World::kNode, client, server, protocol, port);
        const bool got = tables_allow(tables, client, server, protocol, port);
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
  CHECK(one.pods == two.pods);
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
