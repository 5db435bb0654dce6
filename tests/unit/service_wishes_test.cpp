// What a Service's annotations ask for, and what becomes of it.
#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "loader/state/service/compile.hpp"
#include "loader/state/service/maglev.hpp"
#include "loader/state/service/wishes.hpp"

using namespace sluice;
using namespace sluice::loader;
using namespace sluice::loader::state::service;

namespace {

kube::Endpoint endpoint(const std::string& address, const std::string& pod) {
  kube::Endpoint one;
  one.address = *Address::parse(address);
  one.pod = pod;
  return one;
}

/// The slots that each of three endpoints (pods stable-1, stable-2, canary-1) has of a Service with these annotations.
std::map<std::string, std::size_t> slots_of(const std::map<std::string, std::string>& annotations,
                                            Algorithm by_default = Algorithm::kRandom) {
  kube::Object object;
  object.id = {"Service", "default", "s"};
  object.annotations = annotations;
  kube::Service service;
  service.cluster_ips = {*Address::parse("10.96.0.1")};
  service.ports = {{"", kube::Protocol::kTcp, 80, {80, ""}, 0}};
  kube::EndpointSlice slice;
  slice.ports = {{"", kube::Protocol::kTcp, 80}};
  slice.endpoints = {endpoint("10.0.0.1", "stable-1"), endpoint("10.0.0.2", "stable-2"),
                     endpoint("10.0.0.3", "canary-1")};
  const auto wanted = compile(object, service, {&slice}, {.here = {"n", ""}, .addresses = {}, .algorithm = by_default});
  std::map<std::string, std::size_t> slots;
  for (const std::uint32_t row : wanted.frontends.front().inside) slots[wanted.rows[row].address.text()]++;
  return slots;
}

using Counts = std::map<std::string, std::size_t>;

}  // namespace

TEST_CASE("weights are by pod or address, the first that fits counts, and they are as small as they can be") {
  const struct {
    const char* name;
    std::string weights;
    Counts want;
  } rows[] = {
      {"none", "", {{"10.0.0.1", 1}, {"10.0.0.2", 1}, {"10.0.0.3", 1}}},
      {"by pods", "stable-*=6,canary-*=2", {{"10.0.0.1", 3}, {"10.0.0.2", 3}, {"10.0.0.3", 1}}},
      {"the first that fits", " stable-1 = 2 , *=4", {{"10.0.0.1", 1}, {"10.0.0.2", 2}, {"10.0.0.3", 2}}},
      {"by address", "10.0.0.3=5", {{"10.0.0.1", 1}, {"10.0.0.2", 1}, {"10.0.0.3", 5}}},
      {"no new connections", "canary-1=0", {{"10.0.0.1", 1}, {"10.0.0.2", 1}}},
      {"nobody", "*=0", {}},
      {"not understood", "canary=many", {{"10.0.0.1", 1}, {"10.0.0.2", 1}, {"10.0.0.3", 1}}},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CHECK(slots_of({{kWeights, row.weights}}) == row.want);
  }
}

TEST_CASE("Maglev's slots follow the weights") {
  for (const auto& [light, heavy] : {std::pair{1U, 3U}, {1U, 20U}, {7U, 9U}}) {
    CAPTURE(heavy);
    const std::vector<unsigned> weights{light, light, heavy, light};
    std::vector<double> counts(4);
    const auto table = maglev_table({"a", "b", "c", "d"}, weights);
    for (const auto slot : table) counts[slot]++;
    for (std::size_t i = 0; i < 4; i++) {
      const double wanted = static_cast<double>(table.size()) * weights[i] / (3 * light + heavy);
      CHECK(std::abs(counts[i] - wanted) <= 0.03 * wanted + 1);
    }
  }
  CHECK(maglev_table({"a", "b", "c"}, {5, 5, 5}).size() > maglev_size(3));
  CHECK(maglev_table({"a", "b", "c"}, {1, 1, 1}) == maglev_table({"a", "b", "c"}));
}

TEST_CASE("the algorithm is the node's where the Service names none") {
  const auto is_maglev = [](const Counts& slots) { return slots.at("10.0.0.1") > 50; };
  CHECK(!is_maglev(slots_of({})));
  CHECK(is_maglev(slots_of({}, Algorithm::kMaglev)));
  CHECK(is_maglev(slots_of({{kAlgorithm, "maglev"}})));
  CHECK(!is_maglev(slots_of({{kAlgorithm, "random"}}, Algorithm::kMaglev)));
  CHECK(is_maglev(slots_of({{kAlgorithm, "round-robin"}}, Algorithm::kMaglev)));
}

TEST_CASE("an annotation that is not understood is told, and counts as not there") {
  const struct {
    const char *annotation, *value, *want;
  } rows[] = {
      {kAlgorithm, "best",
       "Service a/b: annotation sluice.dev/algorithm: \"best\" is neither random nor maglev, so it does not count"},
      {kWeights, "x=1, y",
       "Service a/b: annotation sluice.dev/weights: \"y\" is not POD=WEIGHT or ADDRESS=WEIGHT, 0 to 100, so it does "
       "not "
       "count"},
      {kWeights, "x=101",
       "Service a/b: annotation sluice.dev/weights: \"x=101\" is not POD=WEIGHT or ADDRESS=WEIGHT, 0 to 100, so it "
       "does "
       "not count"},
  };
  for (const auto& row : rows) {
    kube::Object object;
    object.id = {"Service", "a", "b"};
    object.annotations = {{row.annotation, row.value}};
    const auto wishes = wishes_of(object, Algorithm::kRandom);
    REQUIRE(wishes.warnings.size() == 1);
    CHECK(wishes.warnings[0] == row.want);
    CHECK(wishes.weights.all_equal());
  }
}
