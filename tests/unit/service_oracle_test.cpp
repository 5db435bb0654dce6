// The choice of endpoints against an oracle that says the same slowly and simply, on random clusters.
#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>
#include <string>

#include "loader/state/service/choice.hpp"

using namespace sluice;
using namespace sluice::loader;
using namespace sluice::loader::state::service;

namespace {

using Random = std::mt19937;
using Target = std::pair<Address, std::uint16_t>;

const Here kHere{"node-0", "zone-0"};

unsigned below(Random& random, unsigned limit) { return std::uniform_int_distribution<unsigned>(0, limit - 1)(random); }

struct Oracle {
  const kube::Service& service;
  const std::string& port;
  const std::vector<kube::EndpointSlice>& slices;
  bool v4;

  /// Everything that is said of an endpoint, by whichever slice.
  [[nodiscard]] std::map<Target, std::vector<kube::Endpoint>> said() const {
    std::map<Target, std::vector<kube::Endpoint>> all;
    for (const auto& slice : slices)
      for (const auto& target : slice.ports)
        if (target.name == port && target.protocol == kube::Protocol::kTcp &&
            v4 == (slice.address_type == kube::EndpointSlice::AddressType::kIpv4))
          for (const auto& one : slice.endpoints) all[{one.address, target.port}].push_back(one);
    return all;
  }

  /// What counts of all that is said: the first that is ready, else the first.
  [[nodiscard]] std::map<Target, kube::Endpoint> endpoints() const {
    std::map<Target, kube::Endpoint> all;
    for (auto [target, words] : said()) {
      if (service.publish_not_ready)
        for (auto& one : words) one.ready = true;
      all[target] = words.front();
      for (auto one = words.rbegin(); one != words.rend(); ++one)
        if (one->ready) all[target] = *one;
    }
    return all;
  }

  static std::set<Target> hinted(const std::map<Target, kube::Endpoint>& ready,
                                 std::vector<std::string> kube::Endpoint::*hints, const std::string& wish) {
    std::set<Target> fit;
    for (const auto& [target, one] : ready) {
      if ((one.*hints).empty()) return {};
      for (const auto& hint : one.*hints)
        if (hint == wish) fit.insert(target);
    }
    return fit;
  }

  [[nodiscard]] std::set<Target> choose(bool local_only) const {
    std::map<Target, kube::Endpoint> ready;
    std::set<Target> ready_names, ending;
    for (const auto& [target, one] : endpoints()) {
      if (local_only && one.node_name != kHere.node) continue;
      if (one.ready) {
        ready[target] = one;
        ready_names.insert(target);
      } else if (one.serving && one.terminating) {
        ending.insert(target);
      }
    }
    if (ready.empty()) return ending;
    if (local_only) return ready_names;
    if (const auto near = hinted(ready, &kube::Endpoint::for_nodes, kHere.node); !near.empty()) return near;
    if (const auto near = hinted(ready, &kube::Endpoint::for_zones, kHere.zone); !near.empty()) return near;
    return ready_names;
  }
};

kube::Endpoint random_endpoint(Random& random, bool v4, bool zone_hints, bool node_hints) {
  kube::Endpoint one;
  one.address = *Address::parse((v4 ? "10.0.0." : "fd00::") + std::to_string(1 + below(random, 6)));
  one.ready = below(random, 3) == 0;
  one.terminating = !one.ready && below(random, 2) == 0;
  one.serving = one.ready || below(random, 2) == 0;
  if (below(random, 8) != 0) one.node_name = "node-" + std::to_string(below(random, 3));
  if (zone_hints && below(random, 12) != 0) one.for_zones = {"zone-" + std::to_string(below(random, 3))};
  if (node_hints && below(random, 12) != 0) one.for_nodes = {"node-" + std::to_string(below(random, 3))};
  return one;
}

std::vector<kube::EndpointSlice> random_slices(Random& random) {
  std::vector<kube::EndpointSlice> slices(below(random, 4));
  const bool zone_hints = below(random, 2) == 0, node_hints = below(random, 3) == 0;
  for (auto& slice : slices) {
    const bool v4 = below(random, 3) != 0;
    slice.address_type = v4 ? kube::EndpointSlice::AddressType::kIpv4 : kube::EndpointSlice::AddressType::kIpv6;
    const auto number = static_cast<std::uint16_t>(8080 + below(random, 2));
    slice.ports = {{below(random, 5) == 0 ? "other" : "web",
                    below(random, 6) == 0 ? kube::Protocol::kUdp : kube::Protocol::kTcp, number}};
    for (unsigned count = below(random, 5); count > 0; count--)
      slice.endpoints.push_back(random_endpoint(random, v4, zone_hints, node_hints));
  }
  return slices;
}

}  // namespace

TEST_CASE("endpoints of random clusters are chosen as the oracle chooses them") {
  constexpr unsigned kSeed = 20, kClusters = 20000;
  Random random(kSeed);
  const kube::ServicePort port{"web", kube::Protocol::kTcp, 80, {8080, ""}, 0};
  unsigned chose_some = 0, chose_fewer = 0;
  for (unsigned cluster = 0; cluster < kClusters; cluster++) {
    CAPTURE(cluster);
    const auto slices = random_slices(random);
    std::vector<const kube::EndpointSlice*> pointers;
    for (const auto& one : slices) pointers.push_back(&one);
    kube::Service service;
    service.publish_not_ready = below(random, 8) == 0;
    for (const bool v4 : {true, false}) {
      const auto all = candidates(service, port, pointers, v4, kHere);
      const Oracle oracle{service, port.name, slices, v4};
      for (const bool local_only : {true, false}) {
        std::multiset<Target> chosen;
        for (const std::size_t i : choose(all, local_only, kHere)) chosen.insert({all[i].address, all[i].port});
        const auto wanted = oracle.choose(local_only);
        REQUIRE(chosen == std::multiset<Target>(wanted.begin(), wanted.end()));
        chose_some += chosen.empty() ? 0 : 1;
        chose_fewer += !chosen.empty() && chosen.size() < all.size() ? 1 : 0;
      }
    }
  }
  // The clusters are such that the choice means something.
  CHECK(chose_some > kClusters / 2);
  CHECK(chose_fewer > kClusters / 4);
}
