// The deny list, by XDP and without it.
#include <doctest/doctest.h>

#include <cerrno>

#include "loader/observe/metrics.hpp"
#include "loader/program/deny.hpp"
#include "loader/program/status.hpp"
#include "tests/e2e/cluster.hpp"
#include "tests/e2e/socket.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;

namespace {

constexpr std::uint16_t kPort = 8080;

std::string node_with(const std::string& config) {
  auto yaml = node_yaml(1);
  const std::string before = "metadata: {name: node-1";
  return yaml.replace(yaml.find(before), before.size(),
                      before + ", annotations: {lab.sluice.dev/config: '" + config + "'}");
}

std::uint64_t dropped_at(const Cluster& cluster, maps::hook hook) {
  std::uint64_t packets = 0;
  for (const auto& one : must(loader::observe::traffic(cluster.root("node-1"))))
    if (one.reason == maps::DROP_DENIED_SOURCE && one.hook == hook) packets += one.packets;
  return packets;
}

/// How xdp_uplink hangs on the node's uplink; empty: it does not.
std::string xdp_mode(const Cluster& cluster, const Place& node) {
  std::string mode;
  must(node.netns.run([&]() -> Result<void> {
    for (const auto& program : TRY(loader::program::program_status(cluster.root("node-1"))))
      for (const auto& place : program.attachments)
        if (place.hook == "xdp") mode = place.mode;
    return {};
  }));
  return mode;
}

}  // namespace

TEST_CASE("a denied client reaches nothing of the node, and all of it once it is allowed again") {
  const struct {
    const char* config;
    const char* mode;
    maps::hook hook;
  } rows[] = {{R"({"xdp": "native"})", "native", maps::HOOK_XDP_UPLINK},
              {R"({"xdp": "generic"})", "generic", maps::HOOK_XDP_UPLINK},
              {"{}", "", maps::HOOK_FROM_UPLINK}};
  for (const auto& row : rows) {
    CAPTURE(row.mode);
    const Cluster cluster(node_with(row.config) + pod_yaml("web", "node-1"));
    const Place node = cluster.node("node-1"), world = cluster.world();
    const loader::Root root = cluster.root("node-1");
    REQUIRE(xdp_mode(cluster, node) == row.mode);
    for (const bool v4 : {true, false}) {
      CAPTURE(v4);
      const auto listener = must(Socket::tcp_listener(node.netns, node.address(v4), kPort));
      const auto connects = [&] { return Socket::tcp_connected(world.netns, node.address(v4), kPort); };
      const auto pings = [&] {
        return cluster.lab({"world", "--", "ping", "-c1", "-W1", node.address(v4).text()}).status == 0;
      };
      CHECK(connects());
      CHECK(pings());
      const std::vector<Prefix> block = {{world.address(v4), v4 ? 24U : 64U}};
      CHECK(must(loader::program::add_to_deny_list(root, block)) == 1);
      CHECK(must(loader::program::apply_deny_list(root)) == 1);
      const auto before = dropped_at(cluster, row.hook);
      const auto refused = connects();
      CHECK((!refused && !refused.failed_with(ECONNREFUSED)));
      CHECK(!pings());
      CHECK(dropped_at(cluster, row.hook) >= before + 2);
      must(loader::program::delete_from_deny_list(root, block));
      must(loader::program::apply_deny_list(root));
      CHECK(connects());
      CHECK(pings());
    }
  }
}
