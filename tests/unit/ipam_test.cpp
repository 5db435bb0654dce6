#include "loader/state/ipam.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/unit/net_lab.hpp"
#include "tests/unit/temporary_root.hpp"

using namespace sluice;                 // NOLINT(google-build-using-namespace)
using namespace sluice::loader::state;  // NOLINT(google-build-using-namespace)
using sluice::tests::must;
using sluice::tests::TemporaryRoot;

namespace fs = std::filesystem;

namespace {

const Owner kWeb{"pods", "web", "eth0"};
const Owner kDb{"pods", "db", "eth0"};

Prefix block(const std::string& text) { return must(Prefix::parse(text)); }
Address address(const std::string& text) { return must(Address::parse(text)); }

/// Reserves until nothing is free; what was given, in this order.
std::vector<std::string> reserve_all(Ipam& ipam, const Prefix& from) {
  std::vector<std::string> given;
  for (;;) {
    const auto next = ipam.reserve(from, kWeb);
    if (!next) {
      CHECK(next.failed_with(EADDRNOTAVAIL));
      return given;
    }
    given.push_back(next->text());
    REQUIRE(given.size() <= 16);
  }
}

}  // namespace

TEST_CASE("pods are given what a block has beside the network, the node and the broadcast address") {
  const struct {
    const char* block;
    std::vector<std::string> given;
  } rows[] = {
      {"10.0.0.0/29", {"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}},
      {"10.0.0.13/30", {"10.0.0.14"}},  // host bits are no matter
      {"10.0.0.8/31", {"10.0.0.8", "10.0.0.9"}},
      {"10.0.0.7/32", {"10.0.0.7"}},
      {"fd00::/126", {"fd00::2", "fd00::3"}},
      {"fd00::8/127", {"fd00::8", "fd00::9"}},
      {"fd00::7/128", {"fd00::7"}},
  };
  for (const auto& row : rows) {
    CAPTURE(row.block);
    const TemporaryRoot root;
    Ipam ipam(*root);
    CHECK(reserve_all(ipam, block(row.block)) == row.given);
    CHECK(Ipam::capacity(block(row.block)) == row.given.size());
  }
  CHECK(Ipam::capacity(block("10.0.0.0/24")) == 253);
  CHECK(Ipam::capacity(block("fd00::/64")) == std::uint64_t{1} << 63);
}

TEST_CASE("an address that pods are not given is refused also when it is asked for") {
  const struct {
    const char* block;
    const char* address;
  } rows[] = {
      {"10.0.0.0/24", "10.0.0.0"}, {"10.0.0.0/24", "10.0.0.1"}, {"10.0.0.0/24", "10.0.0.255"},
      {"10.0.0.0/24", "10.0.1.2"}, {"10.0.0.0/24", "fd00::2"},  {"10.0.0.8/31", "10.0.0.10"},
      {"fd00::/64", "fd00::"},     {"fd00::/64", "fd00::1"},    {"fd00::/64", "fd00:0:0:1::2"},
  };
  const TemporaryRoot root;
  Ipam ipam(*root);
  for (const auto& row : rows) {
    CAPTURE(row.block);
    CAPTURE(row.address);
    CHECK(ipam.reserve(block(row.block), address(row.address), kWeb).failed_with(EINVAL));
  }
  CHECK(must(ipam.reservations()).empty());
}

TEST_CASE("a block without a free address says how many pods it can have") {
  const TemporaryRoot root;
  Ipam ipam(*root);
  reserve_all(ipam, block("10.0.0.0/29"));
  const auto refused = ipam.reserve(block("10.0.0.0/29"), kDb);
  REQUIRE(refused.failed_with(EADDRNOTAVAIL));
  CHECK(refused.error().message == "no address is free in 10.0.0.0/29: all 5 that pods can have are in use");
}

TEST_CASE("an address given back is given again after all others") {
  const TemporaryRoot root;
  Ipam ipam(*root);
  const auto from = block("10.0.0.0/29");
  for (const char* want : {"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2", "10.0.0.3"}) {
    const auto given = must(ipam.reserve(from, kWeb));
    CHECK(given.text() == want);
    must(ipam.release(given, kWeb));
  }
  must(ipam.reserve(from, address("10.0.0.4"), kDb));
  CHECK(must(Ipam(*root).reserve(from, kWeb)).text() == "10.0.0.5");  // another process, and 10.0.0.4 is taken
}

TEST_CASE("reservations outlive the run folder") {
  const TemporaryRoot root;
  const auto from = block("10.0.0.0/29");
  {
    Ipam ipam(*root);
    CHECK(must(ipam.reserve(from, kWeb)).text() == "10.0.0.2");
    CHECK(must(ipam.reserve(from, kDb)).text() == "10.0.0.3");
    must(ipam.sync());
  }
  REQUIRE(fs::remove_all(root->run()) > 0);
  Ipam ipam(*root);
  CHECK(ipam.holds(address("10.0.0.2"), kWeb));
  CHECK(ipam.holds(address("10.0.0.3"), kDb));
  CHECK(must(ipam.reserve(from, kWeb)).text() == "10.0.0.4");
}

TEST_CASE("an address has one owner, whom a refusal names and who alone gives it back") {
  const TemporaryRoot root;
  Ipam ipam(*root);
  const auto from = block("fd00::/64");
  const auto asked = address("fd00::5");
  must(ipam.reserve(from, asked, kWeb));
  for (const auto& owner : {kDb, kWeb}) {
    const auto refused = ipam.reserve(from, asked, owner);
    REQUIRE(refused.failed_with(EADDRINUSE));
    CHECK(refused.error().message == "fd00::5 belongs to pods/web/eth0");
  }
  must(ipam.release(asked, kDb));
  CHECK(ipam.holds(asked, kWeb));
  CHECK_FALSE(ipam.holds(asked, kDb));
  must(ipam.release(asked, kWeb));
  must(ipam.release(asked, kWeb));
  must(ipam.reserve(from, asked, kDb));
  CHECK(ipam.holds(asked, kDb));
}

TEST_CASE("an interface gives back all that it has, of every network, and nothing else") {
  const TemporaryRoot root;
  Ipam ipam(*root);
  must(ipam.release_all("web", "eth0"));  // there is no folder yet
  const auto from = block("10.0.0.0/24");
  must(ipam.reserve(from, address("10.0.0.2"), {"pods", "web", "eth0"}));
  must(ipam.reserve(from, address("10.0.0.3"), {"storage", "web", "eth0"}));
  must(ipam.reserve(from, address("10.0.0.4"), {"pods", "web", "eth1"}));
  must(ipam.reserve(from, address("10.0.0.5"), {"pods", "db", "eth0"}));
  must(ipam.release_all("web", "eth0"));
  CHECK_FALSE(ipam.holds(address("10.0.0.2"), {"pods", "web", "eth0"}));
  CHECK_FALSE(ipam.holds(address("10.0.0.3"), {"storage", "web", "eth0"}));
  CHECK(ipam.holds(address("10.0.0.4"), {"pods", "web", "eth1"}));
  CHECK(ipam.holds(address("10.0.0.5"), {"pods", "db", "eth0"}));
  CHECK(must(ipam.reservations()).size() == 2);
}

TEST_CASE("what lies in the folder and is no reservation is left out, and its address is not given") {
  const TemporaryRoot root;
  Ipam ipam(*root);
  must(ipam.reserve(block("10.0.0.0/29"), address("10.0.0.4"), kWeb));
  const auto folder = root->state() / "ipam";
  fs::create_symlink("pods/web/eth0", folder / "notes");
  fs::create_symlink("nobody", folder / "10.0.0.2");
  std::ofstream(folder / "10.0.0.3") << "pods/web/eth0";
  const auto found = must(ipam.reservations());
  REQUIRE(found.size() == 1);
  CHECK(found[0].address.text() == "10.0.0.4");
  CHECK(found[0].owner == kWeb);
  CHECK(must(ipam.reserve(block("10.0.0.0/29"), kDb)).text() == "10.0.0.5");
}
