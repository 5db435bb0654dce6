// Needs root: each case makes network namespaces of its own.
#include "loader/net/netlink.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <string>

#include "tests/unit/net_lab.hpp"

using namespace sluice;
using namespace sluice::loader::net;
using namespace sluice::tests;
using namespace std::chrono_literals;

namespace {

Address address(const char* text) { return must(Address::parse(text)); }
Prefix prefix(const char* text) { return must(Prefix::parse(text)); }
Mac mac(const char* text) { return must(Mac::parse(text)); }

const VethSpec& example() {
  static const VethSpec spec{.host_name = "slu0",
                             .host_alias = "default/web eth0",
                             .host_mac = mac("02:00:00:00:00:01"),
                             .pod_name = "eth0",
                             .pod_mac = mac("02:00:00:00:00:02"),
                             .mtu = 1400};
  return spec;
}

/// A node and a pod with a veth pair between them, both ends up.
struct Pair {
  TemporaryNetns node;
  TemporaryNetns pod;
  Netlink on_node = must(Netlink::open_in(node.netns()));
  Netlink in_pod = must(Netlink::open_in(pod.netns()));
  Link host;
  Link eth0;

  Pair() {
    must(on_node.create_veth(example(), pod.netns()));
    host = must(on_node.link("slu0"));
    eth0 = must(in_pod.link("eth0"));
    must(on_node.set_up(host.ifindex));
    must(in_pod.set_up(eth0.ifindex));
  }
};

template <typename T, typename Predicate>
bool has(const std::vector<T>& all, Predicate predicate) {
  return std::any_of(all.begin(), all.end(), predicate);
}

}  // namespace

TEST_SUITE_BEGIN("root");

TEST_CASE("a veth pair has the names, MACs, MTU and alias that were asked for, its ends in two namespaces") {
  if (!has_root()) return;
  const TemporaryNetns node;
  const TemporaryNetns pod;
  auto on_node = must(Netlink::open_in(node.netns()));
  auto in_pod = must(Netlink::open_in(pod.netns()));
  must(on_node.create_veth(example(), pod.netns()));

  const auto host = must(on_node.link("slu0"));
  const auto eth0 = must(in_pod.link("eth0"));
  CHECK(host.kind == "veth");
  CHECK(host.alias == "default/web eth0");
  CHECK(host.mac == example().host_mac);
  CHECK(host.mtu == 1400);
  CHECK(host.peer_ifindex == eth0.ifindex);
  CHECK_FALSE(host.up);
  CHECK(eth0.mac == example().pod_mac);
  CHECK(eth0.mtu == 1400);
  CHECK(eth0.peer_ifindex == host.ifindex);
  CHECK(on_node.link("eth0").failed_with(ENODEV));
  CHECK(must(on_node.link(host.ifindex)).name == "slu0");
  CHECK(must(on_node.links()).size() == 2);
}

TEST_CASE("a name that is taken is refused with EEXIST and nothing is left") {
  if (!has_root()) return;
  Pair pair;
  VethSpec other = example();
  other.host_name = "slu1";
  CHECK(pair.on_node.create_veth(other, pair.pod.netns()).failed_with(EEXIST));
  CHECK(pair.on_node.link("slu1").failed_with(ENODEV));
  other.pod_name = "eth1";
  other.host_name = "slu0";
  CHECK(pair.on_node.create_veth(other, pair.pod.netns()).failed_with(EEXIST));
  CHECK(pair.in_pod.link("eth1").failed_with(ENODEV));
}

TEST_CASE("a device name that Linux cannot have is refused and nothing is left") {
  if (!has_root()) return;
  Pair pair;
  for (const char* name : {"sixteen-letters-", "a/b", "a b", ""}) {
    CAPTURE(std::string(name));
    VethSpec spec = example();
    spec.host_name = "slu1";
    spec.pod_name = name;
    CHECK(pair.on_node.create_veth(spec, pair.pod.netns()).failed_with(EINVAL));
    CHECK(pair.on_node.link("slu1").failed_with(ENODEV));
  }
}

TEST_CASE("the host's end gets no IPv6 link-local address, the pod's end does") {
  if (!has_root()) return;
  Pair pair;
  const auto link_local = [](const Prefix& found) { return prefix("fe80::/10").contains(found.address); };
  // The kernel makes it a moment after the link has come up, on either end if at all.
  CHECK(within(5s, [&] { return has(must(pair.in_pod.addresses(pair.eth0.ifindex)), link_local); }));
  CHECK(must(pair.on_node.addresses(pair.host.ifindex)).empty());
}

TEST_CASE("deleting one end takes both, and deleting again is no error") {
  if (!has_root()) return;
  Pair pair;
  CHECK(pair.on_node.delete_link("slu0"));
  CHECK(pair.in_pod.link("eth0").failed_with(ENODEV));
  CHECK(pair.on_node.delete_link("slu0"));
}

TEST_CASE("an address is kept with its host bits and refused a second time") {
  if (!has_root()) return;
  Pair pair;
  for (const char* text : {"10.0.0.5/24", "10.0.1.7/32", "fd00::5/64", "fd01::7/128"}) {
    CAPTURE(std::string(text));
    CHECK(pair.in_pod.add_address(pair.eth0.ifindex, prefix(text)));
    CHECK(
        has(must(pair.in_pod.addresses(pair.eth0.ifindex)), [&](const Prefix& found) { return found.text() == text; }));
    CHECK(pair.in_pod.add_address(pair.eth0.ifindex, prefix(text)).failed_with(EEXIST));
  }
}

TEST_CASE("an error has the task, the kernel's words and its errno") {
  if (!has_root()) return;
  Pair pair;
  const auto refused = pair.in_pod.add_address(999, prefix("10.0.0.5/24"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ENODEV);
  CHECK(refused.error().message.starts_with("add address 10.0.0.5/24 to device 999: "));
}

TEST_CASE("default routes go by a gateway that no other route leads to, in both families, and can be replaced") {
  if (!has_root()) return;
  Pair pair;
  struct Row {
    const char* own;
    const char* gateway;
    const char* other;
  };
  for (const auto& row : {Row{"10.0.0.5/32", "169.254.1.1", "169.254.1.2"}, Row{"fd00::5/128", "fe80::1", "fe80::2"}}) {
    CAPTURE(std::string(row.own));
    must(pair.in_pod.add_address(pair.eth0.ifindex, prefix(row.own)));
    Route route{.family_v4 = address(row.gateway).is_v4(), .gateway = address(row.gateway), .onlink = true};
    route.ifindex = pair.eth0.ifindex;
    route.source = prefix(row.own).address;
    route.mtu = 1300;
    CHECK(pair.in_pod.put_route(route));
    route.gateway = address(row.other);
    CHECK(pair.in_pod.put_route(route));
    std::vector<Route> defaults = must(pair.in_pod.routes(pair.eth0.ifindex));
    std::erase_if(defaults,
                  [&](const Route& found) { return found.destination || found.family_v4 != route.family_v4; });
    REQUIRE(defaults.size() == 1);
    CHECK(defaults[0].gateway == address(row.other));
    CHECK(defaults[0].onlink);
    CHECK(defaults[0].source == prefix(row.own).address);
    CHECK(defaults[0].mtu == 1300);
  }
}

TEST_CASE("a route to one address of a pod is found and deleted by its device only") {
  if (!has_root()) return;
  Pair pair;
  for (const char* text : {"10.0.0.5/32", "fd00::5/128"}) {
    CAPTURE(std::string(text));
    CHECK(pair.on_node.put_route({.destination = prefix(text), .ifindex = pair.host.ifindex}));
    const auto to_it = [&](const Route& found) { return found.destination == prefix(text); };
    CHECK(has(must(pair.on_node.routes(pair.host.ifindex)), to_it));
    CHECK_FALSE(has(must(pair.on_node.routes(1)), to_it));
    const Route other_device{.destination = prefix(text), .ifindex = 1};
    CHECK(pair.on_node.delete_route(other_device));
    CHECK(has(must(pair.on_node.routes(pair.host.ifindex)), to_it));
    const Route this_device{.destination = prefix(text), .ifindex = pair.host.ifindex};
    CHECK(pair.on_node.delete_route(this_device));
    CHECK_FALSE(has(must(pair.on_node.routes(pair.host.ifindex)), to_it));
    CHECK(pair.on_node.delete_route(this_device));
  }
}

TEST_CASE("the way to an address is the most specific route, the default one where there is no other") {
  if (!has_root()) return;
  Pair pair;
  struct Row {
    const char* own;
    const char* specific;
    const char* in_it;
    const char* elsewhere;
  };
  for (const auto& row : {Row{"10.0.0.5/24", "10.9.0.0/16", "10.9.1.1", "192.0.2.1"},
                          Row{"fd00::5/64", "fd09::/32", "fd09::1", "100::1"}}) {
    CAPTURE(std::string(row.own));
    const auto elsewhere = address(row.elsewhere);
    CHECK_FALSE(pair.in_pod.route_to(elsewhere));
    must(pair.in_pod.add_address(pair.eth0.ifindex, prefix(row.own)));
    must(pair.in_pod.put_route({.destination = prefix(row.specific), .ifindex = pair.eth0.ifindex}));
    CHECK_FALSE(pair.in_pod.route_to(elsewhere));
    must(pair.in_pod.put_route({.family_v4 = elsewhere.is_v4(), .ifindex = pair.eth0.ifindex, .mtu = 1300}));
    CHECK(must(pair.in_pod.route_to(address(row.in_it))).destination == prefix(row.specific));
    const auto fallback = must(pair.in_pod.route_to(elsewhere));
    CHECK(!fallback.destination);
    CHECK(fallback.ifindex == pair.eth0.ifindex);
    CHECK(fallback.mtu == 1300);
  }
}

TEST_CASE("a namespace without routes has an empty list of them") {
  if (!has_root()) return;
  const TemporaryNetns made;
  auto netlink = must(Netlink::open_in(made.netns()));
  CHECK(must(netlink.routes(1)).empty());
}

TEST_CASE("a neighbour entry is permanent and can be replaced") {
  if (!has_root()) return;
  Pair pair;
  for (const char* text : {"169.254.1.1", "fe80::1"}) {
    CAPTURE(std::string(text));
    CHECK(pair.in_pod.put_neighbour(pair.eth0.ifindex, address(text), mac("02:00:00:00:00:0a")));
    CHECK(pair.in_pod.put_neighbour(pair.eth0.ifindex, address(text), mac("02:00:00:00:00:0b")));
    std::vector<Neighbour> found = must(pair.in_pod.neighbours(pair.eth0.ifindex));
    std::erase_if(found, [&](const Neighbour& entry) { return entry.address != address(text); });
    REQUIRE(found.size() == 1);
    CHECK(found[0].mac == mac("02:00:00:00:00:0b"));
    CHECK(found[0].permanent);
  }
}

TEST_CASE("a bridge is up and takes ports") {
  if (!has_root()) return;
  Pair pair;
  must(pair.on_node.create_bridge("br0", 1500));
  const auto bridge = must(pair.on_node.link("br0"));
  CHECK(bridge.up);
  CHECK(bridge.kind == "bridge");
  CHECK(pair.on_node.set_master(pair.host.ifindex, bridge.ifindex));
  CHECK(pair.on_node.set_mtu(pair.host.ifindex, 1280));
  CHECK(must(pair.on_node.link("slu0")).mtu == 1280);
  CHECK(pair.on_node.create_bridge("br0", 1500).failed_with(EEXIST));
}

TEST_CASE("a rate limit takes any rate from a byte a second up, replaces an old one, and refuses less") {
  if (!has_root()) return;
  Pair pair;
  for (const std::uint64_t rate : {8ULL, 1'000'000ULL, 17'000'000'000ULL, 100'000'000'000ULL}) {
    CAPTURE(rate);
    CHECK(pair.on_node.put_rate_limit(pair.host.ifindex, rate, 65536));
  }
  CHECK(pair.on_node.put_rate_limit(pair.host.ifindex, 7, 65536).failed_with(ERANGE));
}

TEST_CASE("a sysctl is written in the thread's namespace and nowhere else") {
  if (!has_root()) return;
  const TemporaryNetns node;
  const auto forwarding = [] {
    std::string value;
    std::ifstream("/proc/sys/net/ipv4/ip_forward") >> value;
    return value;
  };
  const auto before = forwarding();
  must(node.netns().run([&]() -> Result<void> {
    for (const char* value : {"1", "0", "0", "1"}) {
      TRY(set_sysctl("ipv4/ip_forward", value));
      CHECK(forwarding() == value);
    }
    CHECK(set_sysctl("ipv4/no_such_key", "1").failed_with(ENOENT));
    return {};
  }));
  CHECK(forwarding() == before);
}

TEST_SUITE_END();
