// What a packet costs, in what can be counted: map lookups, above all.
#include <doctest/doctest.h>

#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

using Counts = std::map<std::string, unsigned>;

constexpr std::uint32_t kPassed = static_cast<std::uint32_t>(-1), kRedirected = 7;  // TC_ACT_UNSPEC, TC_ACT_REDIRECT

}  // namespace

TEST_CASE("a packet of a known flow costs one lookup besides its count, and asks for the time") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6");
    const auto web = family.at(family.web, 999), db = family.at(family.db, 80), world = family.at(family.world, 80);
    for (const Packet& packet : {udp(web, db), tcp(web, db, "A").payload(100)}) {
      REQUIRE(node.from_pod("web", packet) == delivered_to("db"));
      const Path path = node.path_from_pod("web", packet);
      CHECK(path.action == kRedirected);
      CHECK(path.lookups == Counts{{"flows", 1}, {"metrics", 1}});
      CHECK(path.updates.empty());
      CHECK(path.helpers.at("redirect_peer") == 1);
      CHECK(path.helpers.contains("ktime_get_coarse_ns"));  // again, where the test was held up for a second
      CHECK(path.helpers.size() == 2);
    }
    REQUIRE(node.from_pod("web", udp(web, world)) == to_stack());
    const Path path = node.path_from_pod("web", udp(web, world));
    CHECK(path.action == kPassed);
    CHECK(path.lookups == Counts{{"flows", 1}, {"metrics", 1}});
    CHECK(path.helpers.contains("ktime_get_coarse_ns"));
    CHECK(path.helpers.size() == 1);
  }
}

TEST_CASE("the first packet of a flow costs one insert") {
  Datapath node;
  node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6");
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    const Packet packet = tcp(family.at(family.web, 999), family.at(family.db, 80), "S");
    const Path path = node.path_from_pod("web", packet);
    CHECK(path.action == kRedirected);
    CHECK(path.updates == Counts{{"flows", 1}});
    CHECK(path.lookups.at("flows") == 1);
    CHECK(path.lookups.at("endpoints") == 2);
    CHECK(node.flows().empty());  // it was only counted
  }
}
