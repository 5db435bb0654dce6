// Load, upgrade and removal on the real kernel.
#include "loader/program/lifecycle.hpp"

#include <bpf/bpf.h>
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <set>
#include <thread>

#include "loader/program/datapath.hpp"
#include "loader/program/lock.hpp"
#include "loader/program/pin.hpp"
#include "loader/program/status.hpp"
#include "maps/views.hpp"
#include "tests/loader/node.hpp"
#include "tests/loader/pod.hpp"

using namespace sluice;          // NOLINT(google-build-using-namespace)
using namespace sluice::loader;  // NOLINT(google-build-using-namespace)
using namespace sluice::test;    // NOLINT(google-build-using-namespace)
using program::Datapath;
using Outcome = program::LoadReport::Outcome;

namespace {

const Address kPod = *Address::parse("10.0.0.5");

NodeConfig config_with_udp_timeout(int seconds) {
  NodeConfig config;
  config.maps = {.flows = 1024, .endpoints = 64, .fragments = 64};
  config.timeouts.udp_established = std::chrono::seconds(seconds);
  return config;
}

/// Ids of the programs that hang on interfaces, and how many hooks there are.
struct Hanging {
  std::set<std::uint32_t> ids;
  std::size_t hooks = 0;
};

Hanging hanging(const Node& node) {
  Hanging found;
  for (const auto& program : must(program::program_status(node.root())))
    for (const auto& attachment : program.attachments) {
      found.ids.insert(attachment.program_id);
      found.hooks++;
    }
  return found;
}

std::set<std::uint32_t> pinned_ids(const Node& node) {
  const auto programs = must(program::program_status(node.root()));
  return {programs.at(0).id, programs.at(1).id};  // pins come first
}

/// Runs `work` in a child process; its exit status is 0 when `work` returns true.
template <typename Work>
pid_t in_child(Work work) {
  const pid_t child = fork();
  if (child == 0) _exit(work() ? 0 : 1);
  return child;
}

}  // namespace

TEST_CASE("a datapath is loaded once, and found by everyone after that") {
  Node node;
  CHECK(Datapath::open(node.root()).failed_with(ENOENT));
  CHECK(must(program::load(node.root(), config_with_udp_timeout(60))).outcome == Outcome::kLoaded);
  CHECK(must(program::load(node.root(), config_with_udp_timeout(60))).outcome == Outcome::kUnchanged);
  CHECK(Datapath::open(node.root()));
  CHECK(must(must(maps::open<maps::Flows>(node.root().maps())).capacity()) == 1024);
}

TEST_CASE("an upgrade switches every hook and keeps the maps") {
  Node node;
  const auto by_clsact = node.add_interface("sluupg0");
  const auto by_tcx = node.add_interface("sluupg1");
  must(program::load(node.root(), config_with_udp_timeout(60)));
  auto datapath = must(Datapath::open(node.root()));
  must(datapath.attach_pod(by_clsact.ifindex, by_clsact.name, AttachMode::kClsact));
  if (auto attached = datapath.attach_pod(by_tcx.ifindex, by_tcx.name, AttachMode::kTcx); !attached) {
    REQUIRE(attached.failed_with(EOPNOTSUPP));
    must(datapath.attach_pod(by_tcx.ifindex, by_tcx.name, AttachMode::kClsact));
  }
  must(datapath.put_endpoint(kPod, {.ifindex = by_clsact.ifindex}));
  const Hanging before = hanging(node);
  CHECK(before.hooks == 4);

  const auto report = must(program::load(node.root(), config_with_udp_timeout(61)));
  CHECK(report.outcome == Outcome::kUpgraded);
  CHECK(report.hooks == 4);
  const Hanging after = hanging(node);
  CHECK(after.hooks == 4);
  CHECK(after.ids == pinned_ids(node));
  CHECK(after.ids != before.ids);
  CHECK(must(datapath.endpoint(kPod)).has_value());
}

TEST_CASE("a pinned map keeps its size, with a warning") {
  Node node;
  NodeConfig config = config_with_udp_timeout(60);
  must(program::load(node.root(), config));
  config.maps.flows = 2048;
  config.timeouts.udp_established = std::chrono::seconds(61);
  const auto report = must(program::load(node.root(), config));
  REQUIRE(report.warnings.size() == 1);
  CHECK(report.warnings[0].find("map flows keeps its 1024 entries") != std::string::npos);
}

TEST_CASE("an upgrade that one hook refuses leaves the old programs on all") {
  Node node;
  const auto link = node.add_interface("sluback0");
  must(program::load(node.root(), config_with_udp_timeout(60)));
  auto datapath = must(Datapath::open(node.root()));
  must(datapath.attach_pod(link.ifindex, link.name, AttachMode::kClsact));
  const Hanging before = hanging(node);

  // Something that is no link lies where links are: the last place that an upgrade comes to.
  const auto wrong = program::link_pin(node.root(), "wrong", "in");
  const Fd no_link = must(program::open_pin(program::program_pin(node.root(), program::kFromPod)));
  must(program::replace_pin(no_link, wrong));
  CHECK(!program::load(node.root(), config_with_udp_timeout(61)));
  CHECK(hanging(node).ids == before.ids);
  CHECK(pinned_ids(node) == before.ids);

  must(program::remove_pin(wrong));
  CHECK(must(program::load(node.root(), config_with_udp_timeout(61))).outcome == Outcome::kUpgraded);
  CHECK(hanging(node).ids == pinned_ids(node));
}

TEST_CASE("of several loaders at a time one loads and the others wait for it") {
  Node node;
  std::vector<pid_t> children;
  for (int i = 0; i < 4; i++)
    children.push_back(in_child([&] {
      auto report = program::load(node.root(), config_with_udp_timeout(60));
      return report && report->outcome == Outcome::kLoaded;
    }));
  const auto loaded = std::ranges::count_if(children, [](pid_t child) { return exit_status(child) == 0; });
  CHECK(loaded == 1);
  CHECK(Datapath::open(node.root()));
}

TEST_CASE("a loader waits for an interface that is being attached") {
  Node node;
  std::atomic<bool> released = false;
  auto attaching = std::make_unique<program::Lock>(must(program::Lock::shared(node.root())));
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    released = true;
    attaching.reset();
  });
  must(program::load(node.root(), config_with_udp_timeout(60)));
  CHECK(released);
  other.join();
}

TEST_CASE("what a killed upgrade leaves is finished by the next") {
  Node node;
  must(program::load(node.root(), config_with_udp_timeout(60)));
  auto datapath = must(Datapath::open(node.root()));
  for (int i = 0; i < 8; i++) {
    const auto link = node.add_interface("slukill" + std::to_string(i));
    must(datapath.attach_pod(link.ifindex, link.name, AttachMode::kClsact));
  }
  std::minstd_rand random(1);
  std::uniform_int_distribution<int> microseconds(0, 40000);
  for (int round = 0; round < 20; round++) {
    const pid_t child =
        in_child([&] { return bool(program::load(node.root(), config_with_udp_timeout(100 + round))); });
    std::this_thread::sleep_for(std::chrono::microseconds(microseconds(random)));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    CHECK(hanging(node).hooks == 16);

    must(program::load(node.root(), config_with_udp_timeout(60)));
    CHECK(hanging(node).ids == pinned_ids(node));
  }
}

TEST_CASE("a removal leaves nothing, and is no error where nothing is") {
  Node node;
  const auto link = node.add_interface("slurem0");
  must(program::load(node.root(), config_with_udp_timeout(60)));
  {
    auto datapath = must(Datapath::open(node.root()));
    must(datapath.attach_pod(link.ifindex, link.name, AttachMode::kAuto));
  }
  CHECK(must(program::remove(node.root())) == 2);
  CHECK(!std::filesystem::exists(node.root().pins()));
  CHECK(Datapath::open(node.root()).failed_with(ENOENT));
  CHECK(program::load_record(node.root()).failed_with(ENOENT));
  CHECK(must(program::remove(node.root())) == 0);
}

TEST_CASE("repair attaches what has lost its programs, and nothing else") {
  Node node;
  const auto link = node.add_interface("slurep0");
  must(program::load(node.root(), config_with_udp_timeout(60)));
  auto datapath = must(Datapath::open(node.root()));
  must(datapath.attach_pod(link.ifindex, link.name, AttachMode::kClsact));
  must(datapath.put_endpoint(kPod, {.ifindex = link.ifindex}));
  CHECK(must(program::repair(node.root(), AttachMode::kAuto)) == 0);
  must(datapath.detach_pod(link.ifindex, link.name));
  CHECK(must(program::repair(node.root(), AttachMode::kAuto)) == 1);
  CHECK(hanging(node).hooks == 2);
}

TEST_CASE("an attach that fails leaves nothing") {
  Node node;
  must(program::load(node.root(), config_with_udp_timeout(60)));
  auto datapath = must(Datapath::open(node.root()));
  for (const AttachMode mode : {AttachMode::kClsact, AttachMode::kTcx}) {
    CHECK(!datapath.attach_pod(999999, "nowhere", mode));
    CHECK(hanging(node).hooks == 0);
    CHECK(std::filesystem::is_empty(node.root().pins() / "links"));
  }
}

TEST_CASE("each change of a pod begins a new epoch, and a pod of another interface is not forgotten") {
  Node node;
  must(program::load(node.root(), config_with_udp_timeout(60)));
  auto datapath = must(Datapath::open(node.root()));
  const auto runtime =
      must(maps::Mapped<maps::runtime>::open(must(maps::open<maps::Runtime>(node.root().maps())).fd()));
  const std::uint32_t first = runtime->epoch;
  CHECK(first != 0);
  must(datapath.put_endpoint(kPod, {.ifindex = 7, .mtu = 1400, .shaped = true}));
  CHECK(runtime->epoch == first + 1);
  must(datapath.erase_endpoint(kPod, 8));
  CHECK(runtime->epoch == first + 1);
  const auto known = must(datapath.endpoint(kPod));
  REQUIRE(known);
  CHECK(known->mtu == 1400);
  CHECK(known->shaped);
  CHECK(!known->through_stack);
  must(datapath.erase_endpoint(kPod, 7));
  CHECK(runtime->epoch == first + 2);
  CHECK(must(datapath.endpoints()).empty());
}
