// The hooks of sockets come, change and go with the datapath.
#include "loader/program/socket_hooks.hpp"

#include <bpf/bpf.h>
#include <doctest/doctest.h>

#include <cerrno>
#include <filesystem>
#include <map>

#include "loader/program/lifecycle.hpp"
#include "loader/program/pin.hpp"
#include "tests/loader/hanging.hpp"
#include "tests/loader/node.hpp"

using namespace sluice;          // NOLINT(google-build-using-namespace)
using namespace sluice::loader;  // NOLINT(google-build-using-namespace)
using namespace sluice::test;    // NOLINT(google-build-using-namespace)
using program::kSocketPrograms;
using Outcome = program::LoadReport::Outcome;

namespace {

constexpr const char* kGroup = "sluice-loader-test";
constexpr const char* kOtherGroup = "sluice-loader-test-2";

/// By program, what hangs where; programs that hang nowhere are not in it.
std::map<std::string, program::SocketAttachment> attachments(const Node& node) {
  std::map<std::string, program::SocketAttachment> found;
  for (const char* name : kSocketPrograms)
    if (const auto one = must(program::socket_attachment(node.root(), name))) found[name] = *one;
  return found;
}

/// Pins of programs for sockets.
std::size_t pinned(const Node& node) {
  std::size_t count = 0;
  for (const char* name : kSocketPrograms) count += std::filesystem::exists(program::program_pin(node.root(), name));
  return count;
}

}  // namespace

TEST_CASE(
    "a load puts the hooks on the node's group, an upgrade gives each another program, a removal takes them off") {
  const TestGroup group(kGroup);
  Node node;
  CHECK(must(program::load(node.root(), group.config(60))).hooks == kSocketPrograms.size());
  const auto before = attachments(node);
  CHECK(before.size() == kSocketPrograms.size());
  CHECK(programs_on(group) == kSocketPrograms.size());
  CHECK(must(program::load(node.root(), group.config(60))).outcome == Outcome::kUnchanged);
  CHECK(must(program::load(node.root(), group.config(61))).outcome == Outcome::kUpgraded);
  const auto after = attachments(node);
  CHECK(after.size() == before.size());
  for (const auto& [name, one] : after) {
    CHECK(one.program_id != before.at(name).program_id);
    CHECK(one.group_id == before.at(name).group_id);
  }
  CHECK(programs_on(group) == kSocketPrograms.size());
  CHECK(hanging(node).ids.size() == kSocketPrograms.size());
  CHECK(must(program::remove(node.root())) == kSocketPrograms.size());
  CHECK(programs_on(group) == 0);
}

TEST_CASE("the hooks move with the configured group, and go and come with socketBalancing") {
  const TestGroup group(kGroup), other(kOtherGroup);
  Node node;
  must(program::load(node.root(), group.config(60)));
  CHECK(must(program::load(node.root(), other.config(60))).outcome == Outcome::kUnchanged);  // of the programs
  CHECK(programs_on(group) == 0);
  CHECK(programs_on(other) == kSocketPrograms.size());
  must(program::load(node.root(), config_with_udp_timeout(60)));
  CHECK(programs_on(other) == 0);
  CHECK(attachments(node).empty());
  CHECK(pinned(node) == 0);
  must(program::load(node.root(), group.config(60)));
  CHECK(programs_on(group) == kSocketPrograms.size());
}

TEST_CASE(
    "without a control group the datapath is loaded all the same, says what that costs, and a later load finds one") {
  Node node;
  auto config = config_with_udp_timeout(60);
  config.socket_balancing = true;
  for (const std::string& missing : {node.root().prefix().string() + "/nowhere", std::string("/proc"), std::string()}) {
    CAPTURE(missing);
    config.cgroup = missing;
    const auto report = must(program::load(node.root(), config));
    REQUIRE(report.warnings.size() == 1);
    CHECK(report.warnings[0].starts_with("sockets are left alone: "));
    CHECK(report.warnings[0].find("the node's own processes reach no Service") != std::string::npos);
    CHECK(attachments(node).empty());
  }
  const TestGroup group(kGroup);
  const auto link = node.root().cgroup();  // where the node of a lab has it
  std::filesystem::create_directories(link.parent_path());
  std::filesystem::create_symlink(group.path(), link);
  CHECK(must(program::load(node.root(), config)).warnings.empty());
  CHECK(programs_on(group) == kSocketPrograms.size());
}

TEST_CASE("an upgrade that is refused leaves the old programs on the sockets") {
  const TestGroup group(kGroup);
  Node node;
  must(program::load(node.root(), group.config(60)));
  const auto before = attachments(node);
  // Something that is no link lies where links are: the last place that an upgrade comes to.
  const auto wrong = program::link_pin(node.root(), "wrong", "in");
  must(program::replace_pin(must(program::open_pin(program::program_pin(node.root(), program::kFromPod))), wrong));
  CHECK(!program::load(node.root(), group.config(61)));
  for (const auto& [name, one] : attachments(node)) CHECK(one.program_id == before.at(name).program_id);
  CHECK(!program::load(node.root(), config_with_udp_timeout(61)));
  CHECK(programs_on(group) == kSocketPrograms.size());
  const auto pins = pinned_ids(node);
  for (const auto& [name, one] : attachments(node)) {
    CHECK(one.program_id == before.at(name).program_id);
    CHECK(pins.contains(one.program_id));
  }
}

TEST_CASE("repair puts back the hooks that somebody has taken off, and nothing else") {
  const TestGroup group(kGroup);
  Node node;
  const auto config = group.config(60);
  CHECK(program::repair_socket_hooks(node.root(), config).failed_with(ENOENT));
  must(program::load(node.root(), config));
  CHECK(must(program::repair_socket_hooks(node.root(), config)).empty());
  must(program::detach_socket_hook(node.root(), "sock_connect4"));
  const Fd link = must(program::open_pin(program::socket_link_pin(node.root(), "sock_sendmsg6")));
  REQUIRE(bpf_link_detach(link.get()) == 0);
  CHECK(programs_on(group) == kSocketPrograms.size() - 2);
  CHECK(must(program::repair_socket_hooks(node.root(), config)).size() == 2);
  CHECK(programs_on(group) == kSocketPrograms.size());
  CHECK(must(program::repair_socket_hooks(node.root(), config)).empty());
}
