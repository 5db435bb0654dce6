// Needs root: each case makes network namespaces of its own.
#include "loader/state/direct_routes.hpp"

#include <doctest/doctest.h>

#include "loader/program/overlay.hpp"
#include "loader/program/own_routes.hpp"
#include "tests/unit/net_lab.hpp"

using namespace sluice;
using namespace sluice::loader;
using namespace sluice::loader::state;
using namespace sluice::tests;

namespace {

Address address(const char* text) { return must(Address::parse(text)); }
Prefix prefix(const char* text) { return must(Prefix::parse(text)); }

/// A node with 192.0.2.1/24 and 2001:db8::1/64 on its interface, and the default route of IPv4 by it.
struct Here {
  TemporaryNetns node, other_end;
  net::Netlink netlink = must(net::Netlink::open_in(node.netns()));
  int ifindex = 0;

  Here() {
    must(netlink.create_veth({.host_name = "eth0",
                              .host_mac = must(Mac::parse("02:00:00:00:00:01")),
                              .pod_name = "far",
                              .pod_mac = must(Mac::parse("02:00:00:00:00:02"))},
                             other_end.netns()));
    ifindex = must(netlink.link("eth0")).ifindex;
    must(netlink.set_up(ifindex));
    auto far = must(net::Netlink::open_in(other_end.netns()));
    must(far.set_up(must(far.link("far")).ifindex));
    for (const char* own : {"192.0.2.1/24", "2001:db8::1/64"}) must(netlink.add_address(ifindex, prefix(own)));
    must(netlink.put_route({.gateway = address("192.0.2.254"), .ifindex = ifindex}));
  }

  template <typename T>
  T inside(const std::function<Result<T>()>& work) const {
    std::optional<T> made;
    must(node.netns().run([&]() -> Result<void> {
      made = TRY(work());
      return {};
    }));
    return *std::move(made);
  }

  DirectRoutes plan(const std::vector<PodRoute>& routes, Mode mode) const {
    NodeConfig config;
    config.mode = mode;
    config.node_addresses = {address("192.0.2.1")};
    return inside<DirectRoutes>(
        [&] { return plan_direct_routes({.nodes = {}, .routes = routes, .prefixes = {}, .warnings = {}}, config); });
  }

  program::OwnRoutes keep(const std::vector<net::Route>& routes) const {
    return inside<program::OwnRoutes>([&] { return program::keep_own_routes(routes); });
  }

  std::vector<std::string> own() {
    std::vector<std::string> all;
    for (const auto& route : must(netlink.routes_of(program::kRouteProtocol)))
      all.push_back(route.destination->text() + " via " + route.gateway->text());
    return all;
  }
};

PodRoute route(const char* node, std::uint32_t number, const char* pods, const char* by) {
  return {node, number, prefix(pods), by != nullptr ? std::optional(address(by)) : std::nullopt};
}

const std::vector<PodRoute> kRoutes = {
    route("near", 1, "10.1.0.0/24", "192.0.2.2"),   route("near", 1, "fd01::/64", "2001:db8::2"),
    route("half", 2, "10.2.0.0/24", "192.0.2.3"),   route("half", 2, "fd02::/64", nullptr),
    route("far", 3, "10.3.0.0/24", "198.51.100.3"), route("myself", 4, "10.4.0.0/24", "192.0.2.1"),
};

std::vector<std::string> words(const DirectRoutes& direct) {
  std::vector<std::string> all;
  for (const auto& one : direct.routes) all.push_back(one.destination->text() + " via " + one.gateway->text());
  return all;
}

}  // namespace

TEST_SUITE_BEGIN("root");

TEST_CASE("routes lead through nodes that are on a link, and the others are named") {
  if (!has_root()) return;
  Here here;
  const auto native = here.plan(kRoutes, Mode::kNative);
  CHECK(native.routed == std::set<std::uint32_t>{1, 2, 3, 4});
  const std::vector<std::string> on_links = {"10.1.0.0/24 via 192.0.2.2", "fd01::/64 via 2001:db8::2",
                                             "10.2.0.0/24 via 192.0.2.3"};
  CHECK(words(native) == on_links);
  REQUIRE(native.warnings.size() == 3);
  CHECK(native.warnings[0] == "Node half has no InternalIP of their family: no route leads to its pods in fd02::/64");
  CHECK(native.warnings[1].starts_with("Node far (198.51.100.3) is not on a link of this node"));
  CHECK(native.warnings[2].starts_with("Node myself (192.0.2.1) is not on a link of this node"));
  // Somebody else may know the way.
  must(here.netlink.put_route(
      {.destination = prefix("10.3.0.0/16"), .gateway = address("192.0.2.7"), .ifindex = here.ifindex}));
  CHECK(here.plan(kRoutes, Mode::kNative).warnings.size() == 2);

  const auto mixed = here.plan(kRoutes, Mode::kMixed);
  CHECK(mixed.routed == std::set<std::uint32_t>{1});
  CHECK(words(mixed) == std::vector<std::string>{"10.1.0.0/24 via 192.0.2.2", "fd01::/64 via 2001:db8::2"});
  CHECK(mixed.warnings.empty());
  for (const Mode mode : {Mode::kNone, Mode::kOverlay}) {
    CHECK(here.plan(kRoutes, mode).routed.empty());
    CHECK(here.plan(kRoutes, mode).routes.empty());
  }
}

TEST_CASE("with tunnels routes of the node's own lead into them, of families that it has an address of") {
  if (!has_root()) return;
  Here here;
  must(here.netlink.create_vxlan({.name = program::kOverlayDevice, .mac = kHostMac}));
  const int device = must(here.netlink.link(program::kOverlayDevice)).ifindex;
  for (const auto& [mode, to_near] : {std::pair(Mode::kOverlay, 0), std::pair(Mode::kMixed, 2)}) {
    std::vector<std::string> into;
    const auto planned = here.plan(kRoutes, mode);
    for (const auto& one : planned.routes)
      if (one.ifindex == device) into.push_back(one.destination->text() + " from " + one.source->text());
    std::vector<std::string> want = {"10.2.0.0/24 from 192.0.2.1", "10.3.0.0/24 from 192.0.2.1",
                                     "10.4.0.0/24 from 192.0.2.1"};
    if (mode == Mode::kOverlay) want.insert(want.begin(), "10.1.0.0/24 from 192.0.2.1");
    CHECK(into == want);
    CHECK(planned.routes.size() == want.size() + static_cast<std::size_t>(to_near));
    CHECK(here.keep(planned.routes).refused.empty());
    CHECK(here.keep(planned.routes).written == 0);
  }
}

TEST_CASE("of all routes only those of our protocol are changed, and only where they differ") {
  if (!has_root()) return;
  Here here;
  const auto others = [&] {
    std::vector<std::string> all;
    for (const auto& one : must(here.netlink.routes(here.ifindex)))
      if (one.protocol != program::kRouteProtocol)
        all.push_back((one.destination ? one.destination->text() : "default") + " by " + std::to_string(one.protocol));
    return all;
  };
  must(here.netlink.put_route(
      {.destination = prefix("10.1.0.0/24"), .gateway = address("192.0.2.99"), .ifindex = here.ifindex}));
  const auto before = others();
  const auto wanted = here.plan(kRoutes, Mode::kNative).routes;
  CHECK(here.keep(wanted).written == 3);
  const std::vector<std::string> all = {"10.1.0.0/24 via 192.0.2.2", "10.2.0.0/24 via 192.0.2.3",
                                        "fd01::/64 via 2001:db8::2"};
  CHECK(here.own() == all);
  CHECK(here.keep(wanted).written == 0);
  // A route of our own is nobody else's knowledge.
  auto left = kRoutes;
  left[2].by = address("198.51.100.2");
  CHECK(here.plan(left, Mode::kNative).warnings.size() == 4);

  auto moved = kRoutes;
  moved[0].by = address("192.0.2.22");
  moved[1].pods = prefix("fd11::/64");
  CHECK(here.keep(here.plan(moved, Mode::kNative).routes).written == 3);  // one changed, one gone, one new
  CHECK(here.own() == std::vector<std::string>{"10.1.0.0/24 via 192.0.2.22", "10.2.0.0/24 via 192.0.2.3",
                                               "fd11::/64 via 2001:db8::2"});
  // What the kernel refuses keeps nothing else away.
  std::vector<net::Route> bad = wanted;
  bad.push_back({.destination = prefix("10.7.0.0/24"), .gateway = address("203.0.113.1"), .ifindex = here.ifindex});
  const auto report = here.keep(bad);
  REQUIRE(report.refused.size() == 1);
  CHECK(report.refused[0].starts_with("put route to 10.7.0.0/24: "));
  CHECK(here.own() == all);
  CHECK(here.inside<std::size_t>([] { return program::remove_own_routes(); }) == 3);
  CHECK(here.own().empty());
  CHECK(others() == before);
}

TEST_SUITE_END();
