// The deny list: the file, and the map that follows it.
#include "loader/program/deny.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>

#include "loader/program/lifecycle.hpp"
#include "maps/views.hpp"
#include "tests/loader/hanging.hpp"
#include "tests/loader/node.hpp"

using namespace sluice;          // NOLINT(google-build-using-namespace)
using namespace sluice::loader;  // NOLINT(google-build-using-namespace)
using namespace sluice::test;    // NOLINT(google-build-using-namespace)

namespace {

void write_list(const Node& node, const std::string& text) {
  std::filesystem::create_directories(node.root().deny_list().parent_path());
  std::ofstream(node.root().deny_list()) << text;
}

std::string list_of(const Node& node) {
  std::ifstream file(node.root().deny_list());
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<Prefix> blocks(const std::vector<std::string>& texts) {
  std::vector<Prefix> all;
  for (const auto& text : texts) all.push_back(must(Prefix::parse(text)));
  return all;
}

std::set<std::string> in_force(const Node& node) {
  std::set<std::string> texts;
  for (const Prefix& block : must(program::denied_blocks(node.root()))) texts.insert(block.text());
  return texts;
}

bool looked_at(const Node& node) {
  return must(maps::Mapped<maps::runtime>::open(must(maps::open<maps::Runtime>(node.root().maps())).fd()))->has_denied;
}

NodeConfig small() {
  auto config = config_with_udp_timeout(60);
  config.maps.denied = 16;
  return config;
}

using Texts = std::set<std::string>;

}  // namespace

TEST_CASE("a load brings the deny list into force, and a change of the file only what differs") {
  Node node;
  write_list(node, "# who was here last night\n203.0.113.0/24\n  198.51.100.7 # one machine\n\n2001:db8:bad::1/48\n");
  CHECK(must(program::load(node.root(), small())).warnings.empty());
  CHECK(in_force(node) == Texts{"203.0.113.0/24", "198.51.100.7/32", "2001:db8:bad::/48"});
  CHECK(looked_at(node));
  CHECK(must(program::apply_deny_list(node.root())) == 0);
  write_list(node, "203.0.113.0/25\n198.51.100.7\n");
  CHECK(must(program::apply_deny_list(node.root())) == 3);
  CHECK(in_force(node) == Texts{"203.0.113.0/25", "198.51.100.7/32"});
  std::filesystem::remove(node.root().deny_list());
  CHECK(must(program::load(node.root(), small())).outcome == program::LoadReport::Outcome::kUnchanged);
  CHECK(in_force(node).empty());
  CHECK(!looked_at(node));
}

TEST_CASE("blocks are added and deleted in the file, which keeps its order and its comments") {
  Node node;
  const auto add = [&](const std::vector<std::string>& texts) {
    return program::add_to_deny_list(node.root(), blocks(texts));
  };
  CHECK(must(add({"203.0.113.0/24", "fd00::7"})) == 2);  // before anything is loaded
  CHECK(program::apply_deny_list(node.root()).failed_with(ENOENT));
  write_list(node, list_of(node) + "# by hand\n10.0.0.1 # why\n");
  CHECK(must(add({"10.0.0.1", "203.0.113.9/24", "10.0.0.2"})) == 1);
  CHECK(list_of(node) == "203.0.113.0/24\nfd00::7/128\n# by hand\n10.0.0.1 # why\n10.0.0.2/32\n");
  const auto drop = [&](const std::vector<std::string>& texts) {
    return must(program::delete_from_deny_list(node.root(), blocks(texts)));
  };
  CHECK(drop({"10.0.0.1", "203.0.113.0/25", "fd00::7"}) == 2);
  CHECK(list_of(node) == "203.0.113.0/24\n# by hand\n10.0.0.2/32\n");
}

TEST_CASE("a list with an error, or with more than the map holds, changes nothing and says what is wrong") {
  Node node;
  write_list(node, "203.0.113.0/24\n");
  must(program::load(node.root(), small()));
  write_list(node, "203.0.113.0/24\n\n203.0.113.0/33\n");
  for (const auto& error : {program::apply_deny_list(node.root()).error(),
                            program::add_to_deny_list(node.root(), blocks({"10.0.0.1"})).error()}) {
    CHECK(error.code == EINVAL);
    CHECK(error.message.find("deny.list: line 3: ") != std::string::npos);
  }
  CHECK(list_of(node) == "203.0.113.0/24\n\n203.0.113.0/33\n");
  const auto report = must(program::load(node.root(), small()));
  REQUIRE(report.warnings.size() == 1);
  CHECK(report.warnings[0].find("the deny list is not taken over") != std::string::npos);

  std::string many;
  for (int i = 1; i <= 17; i++) many += "10.0.0." + std::to_string(i) + "\n";
  write_list(node, many);
  const auto full = program::apply_deny_list(node.root());
  REQUIRE(full.failed_with(E2BIG));
  CHECK(full.error().message.find("17 blocks and the map room for 16") != std::string::npos);
  CHECK(in_force(node) == Texts{"203.0.113.0/24"});
}

TEST_CASE("a block of all IPv6 addresses means no address of IPv4") {
  Node node;
  must(program::load(node.root(), small()));
  const auto value = [&](const char* address) {
    const auto map = must(maps::open<maps::Denied>(node.root().maps()));
    maps::denied_key key{.prefix_len = 128, .word = {}};
    const auto wire = must(Address::parse(address)).wire();
    std::copy(std::begin(wire.word), std::end(wire.word), key.word);
    return must(map.lookup(key)).value_or(maps::DENIED_NO);
  };
  must(program::add_to_deny_list(node.root(), blocks({"::/0"})));
  must(program::apply_deny_list(node.root()));
  CHECK(value("2001:db8::1") == maps::DENIED_YES);
  CHECK(value("192.0.2.1") == maps::DENIED_NO);
  CHECK(in_force(node) == Texts{"::/0"});
  must(program::add_to_deny_list(node.root(), blocks({"0.0.0.0/0"})));
  must(program::apply_deny_list(node.root()));
  CHECK(value("192.0.2.1") == maps::DENIED_YES);
  CHECK(in_force(node) == Texts{"::/0", "0.0.0.0/0"});
}
