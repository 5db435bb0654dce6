// The program on the interfaces to the world.
#include "loader/program/uplink.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "loader/program/datapath.hpp"
#include "loader/program/hook.hpp"
#include "loader/program/lifecycle.hpp"
#include "maps/views.hpp"
#include "tests/loader/hanging.hpp"
#include "tests/loader/node.hpp"
#include "tests/loader/pod.hpp"

using namespace sluice;          // NOLINT(google-build-using-namespace)
using namespace sluice::loader;  // NOLINT(google-build-using-namespace)
using namespace sluice::test;    // NOLINT(google-build-using-namespace)
using program::Datapath;
using Outcome = program::LoadReport::Outcome;

namespace {

NodeConfig with_uplinks(const std::vector<std::string>& names, int seconds = 60) {
  auto config = config_with_udp_timeout(seconds);
  config.uplinks = names;
  return config;
}

std::vector<std::pair<std::uint32_t, maps::uplink>> known_uplinks(const Node& node) {
  return must(must(maps::open<maps::Uplinks>(node.root().maps())).dump());
}

bool hangs_on(int ifindex) { return must(program::clsact::attached(ifindex, program::Hook::kUplink)).has_value(); }

}  // namespace

TEST_CASE(
    "an uplink gets its program beside those of pods, keeps it over upgrades, and loses it when it is none any more") {
  Node node;
  const auto uplink = node.add_interface("sluupl0");
  CHECK(must(program::load(node.root(), with_uplinks({uplink.name}))).hooks == 1);
  auto datapath = must(Datapath::open(node.root()));
  attach_by(datapath, node.add_interface("sluupl1"), AttachMode::kClsact);
  CHECK(hanging(node).hooks == 3);
  const auto report = must(program::load(node.root(), with_uplinks({uplink.name}, 61)));
  CHECK(report.outcome == Outcome::kUpgraded);
  CHECK(report.hooks == 3);
  CHECK(hanging(node).ids == pinned_ids(node));
  CHECK(known_uplinks(node).size() == 1);

  must(program::load(node.root(), with_uplinks({}, 61)));  // the same programs, on fewer interfaces
  CHECK(!hangs_on(uplink.ifindex));
  CHECK(hanging(node).hooks == 2);
  CHECK(known_uplinks(node).empty());
}

TEST_CASE("the programs are told which address, MTU and ports are the node's on an uplink") {
  Node node;
  const auto uplink = node.add_interface("sluadr0");
  auto netlink = must(net::Netlink::open());
  must(netlink.set_up(uplink.ifindex));
  for (const char* text : {"169.254.7.7/16", "192.0.2.7/32", "192.0.2.8/32", "2001:db8::7/64"})
    must(netlink.add_address(uplink.ifindex, must(Prefix::parse(text))));
  auto config = with_uplinks({uplink.name});
  must(program::load(node.root(), config));
  const auto first = known_uplinks(node).at(0);
  CHECK(first.first == static_cast<std::uint32_t>(uplink.ifindex));
  CHECK(Address(first.second.v4).text() == "192.0.2.7");
  CHECK(Address(first.second.v6).text() == "2001:db8::7");
  CHECK(first.second.mtu == 1500);
  CHECK(first.second.ports_first == 30000);
  CHECK(first.second.ports_last == 60999);
  // The configured address comes first; a change by hand is taken over.
  config.node_addresses = {must(Address::parse("192.0.2.8"))};
  must(netlink.set_mtu(uplink.ifindex, 1400));
  CHECK(must(program::repair_uplinks(node.root(), config)).empty());
  CHECK(Address(known_uplinks(node).at(0).second.v4).text() == "192.0.2.8");
  CHECK(known_uplinks(node).at(0).second.mtu == 1400);
}

TEST_CASE("repair attaches what has lost its program or has come since, and lets go of what is gone") {
  Node node;
  const auto uplink = node.add_interface("sluuprep0");
  const auto config = with_uplinks({uplink.name, "sluuprep1"});
  const auto report = must(program::load(node.root(), config));
  REQUIRE(report.warnings.size() == 1);
  CHECK(report.warnings[0].find("uplink sluuprep1 is not there") != std::string::npos);
  const auto repair = [&] { return must(program::repair_uplinks(node.root(), config)).size(); };
  CHECK(repair() == 0);
  must(program::clsact::detach(uplink.ifindex, program::Hook::kUplink));
  CHECK(repair() == 1);
  CHECK(hangs_on(uplink.ifindex));
  const auto other = node.add_interface("sluuprep1");
  CHECK(repair() == 1);
  CHECK(hangs_on(other.ifindex));
  CHECK(known_uplinks(node).size() == 2);
  must(must(net::Netlink::open()).delete_link(uplink.name));
  CHECK(repair() == 0);
  CHECK(known_uplinks(node).size() == 1);
  CHECK(must(program::remove(node.root())) == 1);
  CHECK(!hangs_on(other.ifindex));
}

TEST_CASE("without names the default route's device is the uplink, else the one that has a node address") {
  Node node;
  auto netlink = must(net::Netlink::open());
  const auto one = node.add_interface("sludef0"), two = node.add_interface("sludef1");
  for (const auto& link : {one, two}) must(netlink.set_up(link.ifindex));
  must(netlink.add_address(two.ifindex, must(Prefix::parse("192.0.2.9/32"))));
  auto config = config_with_udp_timeout(60);
  CHECK(must(program::find_uplinks(config)).all.empty());
  config.node_addresses = {must(Address::parse("192.0.2.9"))};
  const auto names = [&] {
    std::vector<std::string> found;
    for (const auto& uplink : must(program::find_uplinks(config)).all) found.push_back(uplink.name);
    return found;
  };
  CHECK(names() == std::vector<std::string>{two.name});
  const net::Route route{
      .family_v4 = true, .gateway = must(Address::parse("192.0.2.1")), .onlink = true, .ifindex = one.ifindex};
  must(netlink.put_route(route));
  CHECK(names() == std::vector<std::string>{one.name});
  must(netlink.delete_route(route));
}

TEST_CASE("the ports that are kept for the node leave enough to others, or else are NodePorts alone") {
  const struct {
    std::uint16_t local_first, local_last, first, last;
  } rows[] = {{32768, 60999, 30000, 60999},
              {49152, 65535, 30000, 65535},
              {1024, 65535, 30000, 32767},
              {10000, 20000, 10000, 32767},
              {500, 40000, 1024, 40000}};
  for (const auto& row : rows) {
    CAPTURE(row.local_first);
    const auto kept = program::kept_ports(row.local_first, row.local_last);
    CHECK(kept.first == row.first);
    CHECK(kept.last == row.last);
  }
}
