// Load, upgrade and removal on the real kernel.
#include "loader/program/lifecycle.hpp"

#include <bpf/bpf.h>
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <thread>

#include "loader/program/datapath.hpp"
#include "loader/program/lock.hpp"
#include "loader/program/pin.hpp"
#include "maps/views.hpp"
#include "tests/loader/hanging.hpp"
#include "tests/loader/node.hpp"
#include "tests/loader/pod.hpp"

// The skeleton names the layouts as C does.
using sluice::maps::addr;
using sluice::maps::runtime;
#include "pod.skel.h"

using namespace sluice;          // NOLINT(google-build-using-namespace)
using namespace sluice::loader;  // NOLINT(google-build-using-namespace)
using namespace sluice::test;    // NOLINT(google-build-using-namespace)
using program::Datapath;
using Outcome = program::LoadReport::Outcome;

namespace {

const Address kPod = *Address::parse("10.0.0.5");

/// Runs `work` in a child process; its exit status is 0 when `work` returns true.
template <typename Work>
pid_t in_child(Work work) {
  const pid_t child = fork();
  if (child == 0) _exit(work() ? 0 : 1);
  return child;
}

using Constants = pod_bpf::pod_bpf__rodata;

/// The constants that a loaded program runs with.
Constants constants_of(const Fd& program) {
  std::array<std::uint32_t, 64> maps{};
  bpf_prog_info about{};
  about.map_ids = reinterpret_cast<std::uint64_t>(maps.data());
  about.nr_map_ids = maps.size();
  std::uint32_t size = sizeof(about);
  REQUIRE(bpf_obj_get_info_by_fd(program.get(), &about, &size) == 0);
  for (std::uint32_t i = 0; i < about.nr_map_ids; i++) {
    const Fd map(bpf_map_get_fd_by_id(maps.at(i)));
    bpf_map_info info{};
    size = sizeof(info);
    REQUIRE(bpf_obj_get_info_by_fd(map.get(), &info, &size) == 0);
    if (!std::string_view(info.name).ends_with(".rodata")) continue;
    std::vector<std::uint8_t> value(info.value_size);
    const std::uint32_t key = 0;
    REQUIRE(bpf_map_lookup_elem(map.get(), &key, value.data()) == 0);
    Constants constants{};  // may end in padding that the map has not
    std::memcpy(&constants, value.data(), std::min(sizeof(constants), value.size()));
    return constants;
  }
  throw std::runtime_error("the program has no constants");
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

TEST_CASE("each time-out of the configuration reaches the programs") {
  Node node;
  NodeConfig config = config_with_udp_timeout(0);
  using std::chrono::seconds;
  config.timeouts = {.tcp_opening = seconds(1),
                     .tcp_established = seconds(2),
                     .tcp_closing = seconds(3),
                     .tcp_closed = seconds(4),
                     .udp_opening = seconds(5),
                     .udp_established = seconds(6),
                     .icmp = seconds(7),
                     .other = seconds(8)};
  must(program::load(node.root(), config));
  const auto constants = constants_of(must(program::open_pin(program::program_pin(node.root(), program::kFromPod))));
  for (const auto& [timeout, seconds] :
       {std::pair(maps::TIMEOUT_TCP_OPENING, 1ULL), std::pair(maps::TIMEOUT_TCP_ESTABLISHED, 2ULL),
        std::pair(maps::TIMEOUT_TCP_CLOSING, 3ULL), std::pair(maps::TIMEOUT_TCP_CLOSED, 4ULL),
        std::pair(maps::TIMEOUT_UDP_OPENING, 5ULL), std::pair(maps::TIMEOUT_UDP_ESTABLISHED, 6ULL),
        std::pair(maps::TIMEOUT_ICMP, 7ULL), std::pair(maps::TIMEOUT_OTHER, 8ULL)}) {
    CAPTURE(timeout);
    CHECK(constants.cfg_timeout_ns[timeout] == seconds * 1'000'000'000);
  }
}

TEST_CASE("an upgrade switches every hook and keeps the maps") {
  Node node;
  must(program::load(node.root(), config_with_udp_timeout(60)));
  auto datapath = must(Datapath::open(node.root()));
  attach_both_ways(node, datapath, "sluupg");
  must(datapath.put_endpoint(kPod, {.ifindex = 7}));
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

TEST_CASE("an upgrade whose programs cannot be pinned leaves the old ones on all hooks and pins") {
  Node node;
  must(program::load(node.root(), config_with_udp_timeout(60)));
  auto datapath = must(Datapath::open(node.root()));
  attach_both_ways(node, datapath, "slupin");
  const Hanging before = hanging(node);
  const auto pins = pinned_ids(node);

  // A folder lies where the second program is to be pinned.
  const auto in_the_way = program::program_pin(node.root(), program::kToPod).string() + "_new";
  std::filesystem::create_directory(in_the_way);
  CHECK(!program::load(node.root(), config_with_udp_timeout(61)));
  CHECK(hanging(node).ids == before.ids);
  CHECK(pinned_ids(node) == pins);

  std::filesystem::remove(in_the_way);
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
  CHECK(runtime->epoch == first + 2);
  must(datapath.erase_endpoint(kPod, 8));
  CHECK(runtime->epoch == first + 2);
  const auto known = must(datapath.endpoint(kPod));
  REQUIRE(known);
  CHECK(known->mtu == 1400);
  CHECK(known->shaped);
  CHECK(!known->through_stack);
  must(datapath.erase_endpoint(kPod, 7));
  CHECK(runtime->epoch == first + 4);
  CHECK(must(datapath.endpoints()).empty());
}
