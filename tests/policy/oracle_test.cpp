// The programs against the oracle: random clusters, what happens to them, and packets.
//
// SLUICE_FUZZ_SEED picks the first world, SLUICE_FUZZ_SECONDS a longer run.
#include <doctest/doctest.h>

#include "maps/drop_reason.h"
#include "tests/policy/programs.hpp"
#include "tests/policy/world.hpp"

using namespace sluice;
using namespace sluice::test;
using loader::kube::Protocol;

namespace {

/// A connection that is tried: by a source port of few, so that many are tried again after an update, as the next
/// packet of a connection that is there.
struct Probe {
  Address client, server;
  Protocol protocol;
  std::uint16_t sport, port;

  [[nodiscard]] Packet asks() const { return packet({client, sport}, {server, port}, "S"); }
  [[nodiscard]] Packet answers() const { return packet({server, port}, {client, sport}, "SA"); }

 private:
  [[nodiscard]] Packet packet(const std::pair<Address, std::uint16_t>& from,
                              const std::pair<Address, std::uint16_t>& to, const char* flags) const {
    const auto at = [](const auto& end) {
      return (end.first.is_v4() ? end.first.text() : "[" + end.first.text() + "]") + ":" + std::to_string(end.second);
    };
    return protocol == Protocol::kTcp   ? tcp(at(from), at(to), flags)
           : protocol == Protocol::kUdp ? udp(at(from), at(to))
                                        : sctp(at(from), at(to));
  }
};

std::optional<Probe> random_probe(World& world, const Programs& programs) {
  const End client = world.end(), server = world.end();
  if (client.address.is_v4() != server.address.is_v4()) return {};
  if (!programs.is_local(client.address) && !programs.is_local(server.address)) return {};
  return Probe{client.address, server.address, world.protocol(), static_cast<std::uint16_t>(20000 + world.number(3)),
               world.port()};
}

}  // namespace

TEST_CASE("the programs and the oracle agree on every packet, after every change") {
  Programs programs;
  Worlds worlds(60);
  std::size_t probes = 0, allowed = 0, answers = 0;
  while (worlds.next()) {
    World world(worlds.seed());
    std::vector<Probe> begun;  // connections that have begun and may go on
    for (int update = 0; update < 10; update++) {
      if (update == 5) programs.restart_agent();
      programs.update(world.cluster(), World::kNode, world.local());
      const auto check = [&](const Probe& probe, const char* what) {
        const bool want = oracle_allows(world.cluster(), World::kNode, world.end_at(probe.client),
                                        world.end_at(probe.server), probe.protocol, probe.port);
        const bool got = programs.passes(probe.asks());
        probes++;
        allowed += want ? 1 : 0;
        if (want != got)
          FAIL_CHECK("seed ", worlds.seed(), " update ", update, ": ", std::string(what), " of ", probe.client.text(),
                     ":", probe.sport, " to ", probe.server.text(), " ", std::string(text(probe.protocol)), " ",
                     probe.port, ": the oracle ", std::string(want ? "allows" : "denies"));
        return want;
      };
      std::erase_if(begun, [&](const Probe& probe) {
        if (!programs.is_local(probe.client) && !programs.is_local(probe.server)) return true;
        return !check(probe, "the next packet");
      });
      for (int tries = 0; tries < 250; tries++) {
        const auto probe = random_probe(world, programs);
        if (!probe || !check(*probe, "the first packet") || world.number(4) != 0) continue;
        answers++;
        if (!programs.passes(probe->answers()))
          FAIL_CHECK("seed ", worlds.seed(), " update ", update, ": no answer of ", probe->server.text(), " to ",
                     probe->client.text());
        begun.push_back(*probe);
      }
      world.change();
    }
  }
  MESSAGE(probes, " probes, ", allowed, " of them allowed, ", answers, " answers");
  CHECK(probes >= 50'000);
  CHECK(allowed > probes / 10);
  CHECK(allowed < probes - probes / 10);
  // Nothing was dropped for another reason.
  const auto by_policy = programs.packets(maps::DROP_POLICY_INGRESS) + programs.packets(maps::DROP_POLICY_EGRESS);
  CHECK(by_policy == probes - allowed);
}
