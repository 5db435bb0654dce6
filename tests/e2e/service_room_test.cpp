// Services that do not fit into the maps: what is in force stays, and it is said what is missing.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "loader/observe/metrics.hpp"
#include "maps/bytes.hpp"
#include "maps/views.hpp"
#include "tests/e2e/service_world.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

json read_json(const std::filesystem::path& file) {
  std::ifstream stream(file);
  return json::parse(stream, nullptr, false);
}

/// The Service big, whose spec has these ports and lines, and a slice of so many endpoints.
std::string big_yaml(int ports, const std::string& spec, int endpoints, const std::string& annotations = "") {
  std::string list, targets, addresses;
  for (int i = 1; i <= ports; i++) {
    const std::string name = "p" + std::to_string(i);
    list += "{name: " + name + ", port: " + std::to_string(i) + "}, ";
    targets += "{name: " + name + ", port: " + std::to_string(i) + "}, ";
  }
  for (int i = 1; i <= endpoints; i++) addresses += "{addresses: [10.1.0." + std::to_string(i) + "]}, ";
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: big, annotations: {" + annotations +
         "}}\nspec: {clusterIP: 10.96.0.9, " + spec + "ports: [" + list + "]}\n" +
         "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: big-1, labels: "
         "{kubernetes.io/service-name: big}}\naddressType: IPv4\nports: [" +
         targets + "]\nendpoints: [" + addresses + "]\n";
}

std::string ranges(int count) {
  std::string list;
  for (int i = 1; i <= count; i++) list += "10.2.0." + std::to_string(i) + "/32, ";
  return "type: LoadBalancer, loadBalancerSourceRanges: [" + list + "], ";
}

std::uint64_t entries(const loader::Root& root, const std::string& map) {
  for (const auto& level : must(loader::observe::map_levels(root)))
    if (level.name == map) return level.entries;
  FAIL("no level of ", map);
  return 0;
}

}  // namespace

TEST_CASE("a map of Services that is full is named in the status and the metrics, and what is in force stays") {
  const struct {
    const char *map, *key;
    std::string yaml;
  } rows[] = {
      {"services", "maps.services", big_yaml(70, "", 0)},
      {"backends", "maps.backends", big_yaml(2, "", 40)},
      {"backend_slots", "maps.backendSlots", big_yaml(1, "", 2, "sluice.dev/algorithm: maglev")},
      {"source_ranges", "maps.sourceRanges", big_yaml(1, ranges(20), 1)},
  };
  const World world(
      "lab.sluice.dev/config: '{\"maps\": {\"services\": 64, \"backends\": 64, \"backendSlots\": 128, "
      "\"sourceRanges\": 16}}'");
  const auto root = world.cluster.root("node-1");
  const Place node = world.cluster.node("node-1");
  const auto failure = [&]() -> std::string {
    const auto status = read_json(root.run() / "agent.json");
    if (status.is_object())
      for (const json& one : status.at("parts"))
        if (one.at("name") == "services") return one.at("failure");
    return "?";
  };
  const auto metric = [&](const std::string& line) {
    return within(5s, [&] {
      return page(node, must(Address::parse("127.0.0.1")), 10249, "/metrics").find("\n" + line) != std::string::npos;
    });
  };
  world.apply(service_yaml() + slices_yaml({&world.web}));
  for (const bool v4 : kFamilies) REQUIRE(within(5s, [&] { return world.answers(world.client, v4) == "web"; }));
  const auto services = must(maps::open<maps::Services>(root.maps()));
  const auto before = must(services.dump());
  const auto same_as_before = [&] {
    const auto now = must(services.dump());
    return now.size() == before.size() && std::ranges::all_of(before, [&](const auto& old) {
             return std::ranges::any_of(now, [&](const auto& one) {
               return maps::same_bytes(one.first, old.first) && maps::same_bytes(one.second, old.second);
             });
           });
  };
  for (const auto& row : rows) {
    CAPTURE(row.map);
    const auto used = entries(root, row.map);
    std::ofstream(root.objects() / "big.yaml") << row.yaml;
    CHECK(within(5s, [&] {
      const std::string words = failure();
      return words.find(std::string("no room in map ") + row.map) != std::string::npos &&
             words.find(row.key) != std::string::npos;
    }));
    CHECK(metric("sluice_agent_part_failed{part=\"services\"} 1\n"));
    CHECK(metric(std::string("sluice_map_entries{map=\"") + row.map + "\"} " + std::to_string(used) + "\n"));
    CHECK(same_as_before());
    for (const bool v4 : kFamilies) CHECK(world.answers(world.client, v4) == "web");
    std::filesystem::remove(root.objects() / "big.yaml");
    CHECK(within(5s, [&] { return failure().empty(); }));
  }
  CHECK(metric("sluice_agent_part_failed{part=\"services\"} 0\n"));
}
