// What is told of policy against what the programs do: the verdict of each connection, and that its reason has words.
#include <doctest/doctest.h>

#include "loader/observe/policies.hpp"
#include "loader/observe/policy_words.hpp"
#include "tests/policy/programs.hpp"
#include "tests/policy/world.hpp"

using namespace sluice;
using namespace sluice::test;
using loader::kube::Protocol;
using loader::observe::PolicyMaps;
using loader::observe::PolicySide;
using loader::observe::PolicyWords;
using Because = PolicySide::Because;

namespace {

PolicyWords words_of(const loader::state::Cluster& cluster) {
  std::vector<loader::kube::ObjectId> all;
  const auto add = [&](const loader::kube::Object& object, const auto&) { all.push_back(object.id); };
  cluster.each<loader::kube::Pod>(add);
  cluster.each<loader::kube::Namespace>(add);
  cluster.each<loader::kube::NetworkPolicy>(add);
  cluster.each<loader::kube::ClusterPolicy>(add);
  loader::state::policy::RecordText text;
  text.take(cluster, all);
  return PolicyWords(must(loader::state::policy::parse_record(text.page(World::kNode).text())));
}

struct Probe {
  End client, server;
  Protocol protocol;
  std::uint16_t port;

  [[nodiscard]] std::string text() const {
    return client.address.text() + " to " + server.address.text() + " " + loader::kube::text(protocol) + " " +
           std::to_string(port);
  }
  [[nodiscard]] Packet asks() const {
    const auto at = [](const Address& address, std::uint16_t number) {
      return (address.is_v4() ? address.text() : "[" + address.text() + "]") + ":" + std::to_string(number);
    };
    const auto from = at(client.address, 20000), to = at(server.address, port);
    return protocol == Protocol::kTcp   ? tcp(from, to, "S")
           : protocol == Protocol::kUdp ? udp(from, to)
                                        : sctp(from, to);
  }
};

/// What is wrong with the reason of one side; empty: nothing.
std::string doubt(const PolicySide& side, const Probe& probe, bool ingress, const PolicyWords& words) {
  const End& end = ingress ? probe.server : probe.client;
  const std::string pod = end.pod != nullptr ? end.pod->id.ns + "/" + end.pod->id.name : "";
  const auto about = words.about(pod, ingress);
  switch (side.because) {
    case Because::kRule:
      if (!words.rule(side.rule, {pod, ingress, static_cast<std::uint8_t>(probe.protocol), probe.port}).empty())
        return {};
      return "rule " + std::to_string(side.rule) + " has no words";
    case Because::kIsolated:
      return words.isolation(pod, ingress).empty() ? "nobody isolates " + pod : "";
    case Because::kNothingSaid:
      return about.empty() || !words.isolation(pod, ingress).empty() ? pod + " is isolated, or not selected" : "";
    case Because::kNoRuleSet:
      return about.empty() ? "" : pod + " is selected";
    default:
      return {};
  }
}

}  // namespace

TEST_CASE("policy is told as the programs do it, and every reason has words") {
  Programs programs;
  const PolicyMaps maps = must(PolicyMaps::open(programs.root()));
  Worlds worlds(20);
  std::size_t probes = 0, by_rule = 0, isolated = 0;
  while (worlds.next()) {
    World world(worlds.seed());
    for (int update = 0; update < 5; update++, world.change()) {
      programs.update(world.cluster(), World::kNode, world.local());
      const PolicyWords words = words_of(world.cluster());
      for (int tries = 0; tries < 100; tries++) {
        const Probe probe{world.end(), world.end(), world.protocol(), world.port()};
        if (probe.client.address.is_v4() != probe.server.address.is_v4()) continue;
        if (!programs.is_local(probe.client.address) && !programs.is_local(probe.server.address)) continue;
        const auto told = must(maps.ask(probe.client.address, probe.server.address,
                                        static_cast<std::uint8_t>(probe.protocol), probe.port));
        CAPTURE(worlds.seed());
        CAPTURE(update);
        CHECK_MESSAGE(told.allowed() == programs.passes(probe.asks()), probe.text());
        CHECK_MESSAGE(doubt(told.egress, probe, false, words).empty(), doubt(told.egress, probe, false, words));
        CHECK_MESSAGE(doubt(told.ingress, probe, true, words).empty(), doubt(told.ingress, probe, true, words));
        probes++;
        for (const PolicySide& side : {told.egress, told.ingress}) {
          by_rule += side.because == Because::kRule ? 1 : 0;
          isolated += side.because == Because::kIsolated ? 1 : 0;
        }
      }
    }
  }
  MESSAGE(probes, " probes: ", by_rule, " times a rule decided, ", isolated, " times none allowed");
  CHECK(probes > 3000);
  CHECK(by_rule > probes / 20);
  CHECK(isolated > probes / 10);
}
