// The agent is killed at random moments while policies change: what is in force is the old state or the new one, and
// the next agent finishes it, with nothing lost and nothing left over.
//
// SLUICE_FUZZ_SEED picks other moments (the default is always the same), SLUICE_FUZZ_SECONDS a longer run.
#include <doctest/doctest.h>
#include <signal.h>

#include <cstdlib>
#include <random>

#include "loader/state/policy/compile.hpp"
#include "maps/views.hpp"
#include "tests/e2e/policy_traffic.hpp"
#include "tests/policy/maps.hpp"
#include "tests/policy/oracle.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;
using loader::kube::Protocol;
using loader::state::policy::LocalPod;
using test::PolicyMaps;

namespace {

constexpr const char* kNode = "node-1";
constexpr int kMostChangesInARound = 60;  // as many as traffic is kept in mind

long setting(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtol(text, nullptr, 0) : otherwise;
}

template <typename View, typename All>
void read(const loader::Root& root, All& all) {
  must(must(maps::open<View>(root.maps())).each([&](const auto& key, const auto& value) { all[key] = value; }));
}

/// What is in force on the node.
PolicyMaps read_maps(const loader::Root& root) {
  PolicyMaps all;
  read<maps::Policies>(root, all.policies.all);
  std::erase_if(all.policies.all, [](const auto& one) { return one.second.flags == 0; });
  read<maps::PolicyPorts>(root, all.ports.all);
  read<maps::Peers>(root, all.peers.all);
  read<maps::Ipcache>(root, all.ipcache.all);
  read<maps::Endpoints>(root, all.endpoints.all);
  all.epoch = must(maps::Mapped<maps::runtime>::open(must(maps::open<maps::Runtime>(root.maps())).fd()))->epoch;
  return all;
}

/// The maps say what the objects say, and have no element more or less than those of an agent that never knew others.
void check_maps(const PolicyLab& lab, const std::string& objects) {
  const auto cluster = traffic_cluster(objects, lab);
  const PolicyMaps now = read_maps(lab.cluster().root(kNode));
  std::vector<test::End> ends{{nullptr, nullptr, must(Address::parse("198.51.100.9"))},
                              {nullptr, cluster.find({"Node", "", kNode}), lab.place(kNode).address(true)}};
  std::vector<LocalPod> local;
  cluster.each<loader::kube::Pod>([&](const loader::kube::Object& object, const loader::kube::Pod& pod) {
    for (const Address& address : pod.ips) ends.push_back({&object, nullptr, address});
    local.push_back({object.id.ns, object.id.name, pod.ips});
  });
  for (const auto& client : ends)
    for (const auto& server : ends)
      for (const Protocol protocol : {Protocol::kUdp, Protocol::kTcp})
        for (const std::uint16_t port : {53, 80, 81, 443}) {
          if (client.address.is_v4() != server.address.is_v4()) continue;
          CAPTURE(client.address.text());
          CAPTURE(server.address.text());
          CAPTURE(port);
          CHECK(now.allow(client.address, server.address, protocol, port) ==
                test::oracle_allows(cluster, kNode, client, server, protocol, port));
        }
  const PolicyMaps fresh(loader::state::policy::compile(cluster, kNode, local));
  CHECK(now.policies.all.size() == fresh.policies.all.size());
  CHECK(now.ports.all.size() == fresh.ports.all.size());
  CHECK(now.peers.all.size() == fresh.peers.all.size());
  CHECK(now.ipcache.all.all().size() == fresh.ipcache.all.all().size());
  for (const auto& [address, pod] : now.endpoints.all) CHECK(maps::same_bytes(pod.policy[0], pod.policy[1]));
}

}  // namespace

TEST_CASE("an agent that is killed at any moment leaves the old verdicts or the new ones, and the next one finishes") {
  const long seed = setting("SLUICE_FUZZ_SEED", 20240229);
  CAPTURE(seed);
  std::mt19937 random(static_cast<unsigned>(seed));
  const std::string objects =
      node_yaml(1) + traffic_pod("x/one") + traffic_pod("x/two") + traffic_pod("y/three") + traffic_pod(kTrafficServer);
  PolicyLab lab(objects, {kNode}, {"x/one", "x/two", "y/three", kTrafficServer});
  PolicyChanges changes(lab);
  std::list<PolicyState> states;
  const auto change = [&](auto&& apply) {
    PolicyState& next = states.emplace_back();
    next.yaml = changes.next();
    judge(next, objects, lab);
    next.begun = Clock::now();
    lab.write(next.yaml);
    apply();
    lab.wait();
    if (states.size() > 1) std::prev(states.end(), 2)->over = Clock::now();
  };
  change([] {});
  const auto end = Clock::now() + std::chrono::seconds(setting("SLUICE_FUZZ_SECONDS", 10));
  unsigned kills = 0;
  while (Clock::now() < end) {
    states.erase(states.begin(), std::prev(states.end()));
    PolicyTraffic traffic(lab);
    for (int i = 0; i < kMostChangesInARound && Clock::now() < end; i++) {
      for (unsigned more = random() % 3; more > 0; more--) change([] {});
      change([&] {
        // Mostly before or while the change is taken over; sometimes while it is written down for people.
        const unsigned moment = random() % 4 != 0 ? random() % 20'000 : 480'000 + random() % 100'000;
        std::this_thread::sleep_for(std::chrono::microseconds(moment));
        lab.agent(kNode).restart(SIGKILL);
        kills++;
      });
      check_maps(lab, objects + states.back().yaml);
    }
    traffic.stop();
    traffic.check(states);
  }
  MESSAGE(kills, " times killed");
  CHECK(kills > 5);
}
