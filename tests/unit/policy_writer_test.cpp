// Policy on its way into the maps: what a packet meets behind each single step, and what is left by whom is stopped
// there.
#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>

#include "loader/state/policy/policies.hpp"
#include "tests/policy/maps.hpp"
#include "tests/policy/oracle.hpp"
#include "tests/policy/world.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::loader::kube;
using sluice::loader::state::policy::Policies;
using sluice::loader::state::policy::Report;

namespace {

struct Killed {};

auto must(auto result) {
  REQUIRE_MESSAGE(result, result.error().message);
  return *std::move(result);
}

struct Probe {
  Address client, server;
  Protocol protocol;
  std::uint16_t port;
};

/// A world, the maps of its node, and the agent that keeps them.
class AgentNode {
 public:
  explicit AgentNode(unsigned seed) : world(seed) { attach(); }

  /// The plugin's work: pods have addresses as long as they are here.
  void attach() {
    std::set<Address> here;
    for (const auto& pod : world.local())
      for (const Address& address : pod.addresses) {
        here.insert(address);
        if (!maps.endpoints.all.contains(address.wire())) maps.attach(address, next_ifindex_++);
      }
    std::erase_if(maps.endpoints.all, [&](const auto& one) { return !here.contains(Address(one.first)); });
  }

  void start() { agent.emplace(must(Policies::open(maps.store()))); }
  Result<Report> update() { return agent->update(world.cluster(), World::kNode, world.local(), true, {}); }
  /// One thing changes, and the plugin has done its part.
  void change() {
    world.change();
    attach();
  }

  [[nodiscard]] std::vector<Probe> probes(int count) {
    std::vector<Probe> all;
    while (count > 0) {
      const Address client = world.end().address, server = world.end().address;
      if (client.is_v4() != server.is_v4()) continue;
      all.push_back({client, server, world.protocol(), world.port()});
      count--;
    }
    return all;
  }

  [[nodiscard]] std::vector<bool> verdicts(const std::vector<Probe>& probes) const {
    std::vector<bool> all;
    for (const Probe& one : probes) all.push_back(maps.allow(one.client, one.server, one.protocol, one.port));
    return all;
  }

  [[nodiscard]] std::vector<bool> promised(const std::vector<Probe>& probes) const {
    std::vector<bool> all;
    for (const Probe& one : probes)
      all.push_back(oracle_allows(world.cluster(), World::kNode, world.end_at(one.client), world.end_at(one.server),
                                  one.protocol, one.port));
    return all;
  }

  World world;
  PolicyMaps maps;
  std::optional<Policies> agent;

 private:
  std::uint32_t next_ifindex_ = 10;
};

/// How many rule sets there are: the map is an array, in which nothing goes.
std::size_t in_force(const PolicyMaps& maps) {
  return static_cast<std::size_t>(
      std::ranges::count_if(maps.policies.all, [](const auto& one) { return one.second.flags != 0; }));
}

bool is_done(const Result<Report>& result) {
  CHECK_MESSAGE(result, result.error().message);
  return bool(result);
}

}  // namespace

TEST_CASE("behind each step of a change, all packets are judged by the old state or all by the new one") {
  std::size_t steps = 0, changes = 0;
  for (unsigned seed = 1; seed <= 40; seed++) {
    AgentNode node(seed);
    node.start();
    REQUIRE(is_done(node.update()));
    for (int change = 0; change < 12; change++) {
      CAPTURE(seed);
      CAPTURE(change);
      node.world.change();
      node.attach();
      const auto probes = node.probes(80);
      const auto before = node.verdicts(probes), after = node.promised(probes);
      bool switched = false;
      node.maps.after_step = [&](const std::string& map) {
        switched |= map == "switch";
        steps++;
        CAPTURE(map);
        CHECK(node.verdicts(probes) == (switched ? after : before));
        return 0;
      };
      REQUIRE(is_done(node.update()));
      node.maps.after_step = nullptr;
      changes += before != after ? 1 : 0;
      CHECK(node.verdicts(probes) == after);
    }
  }
  MESSAGE(steps, " steps, ", changes, " changes of a verdict");
  CHECK(steps > 5000);
  CHECK(changes > 100);
}

TEST_CASE(
    "an agent that is killed behind any step, or fails there, leaves the old state or the new one, and the next "
    "finishes") {
  std::size_t stopped = 0;
  for (const bool killed : {true, false}) {
    for (unsigned seed = 1; seed <= 12; seed++) {
      for (int at = 0;; at++) {
        AgentNode node(seed);
        node.start();
        REQUIRE(is_done(node.update()));
        for (int changes = 0; changes < 3; changes++) node.world.change();
        node.attach();
        const auto probes = node.probes(40);
        const auto before = node.verdicts(probes), after = node.promised(probes);
        int left = at;
        node.maps.after_step = [&](const std::string&) {
          if (left-- > 0) return 0;
          if (killed) throw Killed();
          return ENOMEM;
        };
        try {
          (void)node.update();
        } catch (const Killed&) {
        }
        node.maps.after_step = nullptr;
        if (left >= 0) break;  // it has fewer steps
        stopped++;
        CAPTURE(seed);
        CAPTURE(at);
        const auto now = node.verdicts(probes);
        CHECK((now == before || now == after));
        if (killed) node.start();
        REQUIRE(is_done(node.update()));
        CHECK(node.verdicts(probes) == after);
        // Nothing is left of what was not finished.
        AgentNode fresh(seed);
        for (int changes = 0; changes < 3; changes++) fresh.world.change();
        fresh.attach();
        fresh.start();
        REQUIRE(is_done(fresh.update()));
        CHECK(in_force(node.maps) == in_force(fresh.maps));
        CHECK(node.maps.ports.all.size() == fresh.maps.ports.all.size());
        CHECK(node.maps.peers.all.size() == fresh.maps.peers.all.size());
        CHECK(node.maps.ipcache.all.all().size() == fresh.maps.ipcache.all.all().size());
      }
    }
  }
  MESSAGE(stopped, " times stopped");
  CHECK(stopped > 300);
}

TEST_CASE("an endpoint that no record names keeps its policy") {
  AgentNode node(5);
  node.start();
  REQUIRE(is_done(node.update()));
  const auto address = *Address::parse("10.0.2.99");
  const auto pod = node.maps.endpoints.all.begin()->second;
  node.maps.endpoints.all[address.wire()] = pod;
  for (int change = 0; change < 20; change++) {
    node.world.change();
    REQUIRE(is_done(node.agent->update(node.world.cluster(), World::kNode, node.world.local(), true, {})));
    const auto& now = node.maps.endpoints.all.at(address.wire());
    CHECK(maps::same_bytes(now, pod));
    for (const std::uint32_t id : {pod.policy[0].egress, pod.policy[0].ingress})
      if (id != 0) CHECK(node.maps.policies.all.at(id).flags != 0);
  }
}

TEST_CASE("an agent that starts over what is in force writes nothing, and goes on from there") {
  for (unsigned seed = 1; seed <= 20; seed++) {
    CAPTURE(seed);
    AgentNode node(seed);
    node.start();
    REQUIRE(is_done(node.update()));
    for (int change = 0; change < 8; change++) {
      node.change();
      REQUIRE(is_done(node.update()));
      const std::string content = node.maps.content();
      const std::uint32_t epoch = node.maps.epoch;
      node.start();
      const auto report = must(node.update());
      CHECK(report.written == 0);
      CHECK(node.maps.content() == content);
      CHECK(node.maps.epoch == epoch);
      CHECK(must(node.update()).written == 0);
    }
  }
}

TEST_CASE("an agent that starts after changes writes what differs") {
  AgentNode node(7);
  node.start();
  REQUIRE(is_done(node.update()));
  std::size_t all = 0, differing = 0;
  for (int change = 0; change < 40; change++) {
    node.change();
    node.start();
    const auto probes = node.probes(60);
    differing += must(node.update()).written;
    CHECK(node.verdicts(probes) == node.promised(probes));
    all += node.maps.ports.all.size() + node.maps.peers.all.size() + node.maps.ipcache.all.all().size();
  }
  CHECK(differing < all);
}

TEST_CASE("a map without room refuses a change as a whole, and nothing of it is kept") {
  using Size = std::uint32_t& (*)(PolicyMaps&);
  const struct {
    const char* key;
    Size capacity;
    std::size_t (*used)(const PolicyMaps&);
  } maps[] = {
      {"policyPorts", [](PolicyMaps& all) -> std::uint32_t& { return all.ports.capacity; },
       [](const PolicyMaps& all) { return all.ports.all.size(); }},
      {"peers", [](PolicyMaps& all) -> std::uint32_t& { return all.peers.capacity; },
       [](const PolicyMaps& all) { return all.peers.all.size(); }},
      {"ipcache", [](PolicyMaps& all) -> std::uint32_t& { return all.ipcache.capacity; },
       [](const PolicyMaps& all) { return all.ipcache.all.all().size(); }},
      {"policies", [](PolicyMaps& all) -> std::uint32_t& { return all.policies.capacity; },
       [](const PolicyMaps& all) { return std::size_t{2} + in_force(all) - 1; }},
  };
  for (const auto& map : maps) {
    CAPTURE(map.key);
    std::size_t refused = 0;
    for (unsigned seed = 1; seed <= 60 && refused < 10; seed++) {
      CAPTURE(seed);
      AgentNode node(seed);
      node.start();
      REQUIRE(is_done(node.update()));
      // As large as what is there: a change that needs more finds no room.
      map.capacity(node.maps) = static_cast<std::uint32_t>(map.used(node.maps));
      node.start();
      for (int change = 0; change < 4; change++) node.change();
      const std::string before = node.maps.content();
      const auto outcome = node.update();
      if (outcome) continue;
      refused++;
      CHECK(outcome.failed_with(E2BIG));
      CHECK(outcome.error().message.find(std::string("maps.") + map.key) != std::string::npos);
      CHECK(node.maps.content() == before);
      CHECK(node.update().failed_with(E2BIG));
      CHECK(node.maps.content() == before);
      map.capacity(node.maps) = 1 << 16;
      node.start();
      const auto probes = node.probes(60);
      REQUIRE(is_done(node.update()));
      CHECK(node.verdicts(probes) == node.promised(probes));
    }
    CHECK(refused >= 5);
  }
}

TEST_CASE("numbers come back: a long life needs no more of them than a short one") {
  AgentNode node(11);
  node.maps.policies.capacity = 64;
  node.start();
  for (int change = 0; change < 400; change++) {
    node.change();
    REQUIRE(is_done(node.update()));
  }
  CHECK(node.maps.policies.all.size() <= 64);
}

TEST_CASE("an address that has become another interface's keeps what the plugin gave it") {
  AgentNode node(5);
  node.start();
  REQUIRE(is_done(node.update()));
  auto local = node.world.local();
  REQUIRE(!local.empty());
  const Address address = local[0].addresses[0];
  local[0].ifindex = node.maps.endpoints.all.at(address.wire()).ifindex;
  node.maps.attach(address, 99);
  const auto given = node.maps.endpoints.all.at(address.wire());
  const auto update = [&] { return node.agent->update(node.world.cluster(), World::kNode, local, true, {}); };
  REQUIRE(is_done(update()));
  CHECK(maps::same_bytes(node.maps.endpoints.all.at(address.wire()), given));
  local[0].ifindex = 99;
  REQUIRE(is_done(update()));
  CHECK(!maps::same_bytes(node.maps.endpoints.all.at(address.wire()), given));
}
