// Whatever is killed at any of its steps, the next command finishes it.
//
// A step is a system call that changes what outlives the process: files, pins, mounts, links, filters. The work runs in
// a child that is traced, and is killed before its first step, then before its second, until it gets to its end.
#include <doctest/doctest.h>
#include <linux/bpf.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <memory>

#include "loader/program/datapath.hpp"
#include "loader/program/lifecycle.hpp"
#include "loader/program/socket_hooks.hpp"
#include "tests/loader/hanging.hpp"
#include "tests/loader/node.hpp"

using namespace sluice;          // NOLINT(google-build-using-namespace)
using namespace sluice::loader;  // NOLINT(google-build-using-namespace)
using namespace sluice::test;    // NOLINT(google-build-using-namespace)
using program::Datapath;

namespace {

constexpr int kMostSteps = 400;
constexpr const char* kGroup = "sluice-kill-test";

bool is_step(const __ptrace_syscall_info& call) {
  switch (call.entry.nr) {
    case SYS_bpf:
      return call.entry.args[0] == BPF_OBJ_PIN || call.entry.args[0] == BPF_LINK_CREATE ||
             call.entry.args[0] == BPF_LINK_UPDATE || call.entry.args[0] == BPF_LINK_DETACH;
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_write:
    case SYS_rename:
    case SYS_renameat:
    case SYS_renameat2:
    case SYS_unlink:
    case SYS_unlinkat:
    case SYS_rmdir:
    case SYS_mkdir:
    case SYS_mkdirat:
    case SYS_mount:
      return true;
    default:
      return false;
  }
}

/// True where the child is about to make a step; false where it only enters another call or comes out of one.
bool at_step(pid_t child) {
  __ptrace_syscall_info call{};
  REQUIRE(ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(call), &call) > 0);
  return call.op == PTRACE_SYSCALL_INFO_ENTRY && is_step(call);
}

/// Does `work` in a child that is killed before step number `step`, the first of which is 1. False: it came to its end.
bool killed_before_step(int step, const std::function<bool()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    _exit(work() ? 0 : 1);
  }
  int status = 0, steps = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0);
  while (WIFSTOPPED(status)) {
    if (WSTOPSIG(status) == (SIGTRAP | 0x80) && at_step(child) && ++steps == step) kill(child, SIGKILL);
    ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);  // fails where it has just been killed
    REQUIRE(waitpid(child, &status, 0) == child);
  }
  if (WIFSIGNALED(status)) return true;
  CHECK(WEXITSTATUS(status) == 0);
  return false;
}

/// A datapath with the hooks of sockets or without. With them there are three times as many steps, most of them one of
/// a row of eight alike: each fifth is taken.
struct Setup {
  const TestGroup& group;
  bool sockets;

  [[nodiscard]] NodeConfig config(int udp_timeout) const {
    return sockets ? group.config(udp_timeout) : config_with_udp_timeout(udp_timeout);
  }
  [[nodiscard]] std::size_t hooks() const { return sockets ? program::kSocketPrograms.size() : 0; }
  [[nodiscard]] int stride() const { return sockets ? 5 : 1; }
};

/// Does `work` killed at its steps in turn, then at none; `check` after each. Returns the number of steps.
int at_steps(const Setup& setup, const std::function<bool()>& work, const std::function<void()>& check) {
  for (int step = 1; step < kMostSteps; step += setup.stride()) {
    CAPTURE(step);
    const bool killed = killed_before_step(step, work);
    check();
    if (!killed) return step - 1;
  }
  FAIL("it does not come to its end");
  return 0;
}

void check_upgrade(const Setup& setup) {
  Node node;
  const auto config = [&setup, uplink = node.add_interface("slukup2").name](int seconds) {
    auto made = setup.config(seconds);
    made.uplinks = {uplink};
    return made;
  };
  must(program::load(node.root(), config(60)));
  auto datapath = must(Datapath::open(node.root()));
  attach_both_ways(node, datapath, "slukup");
  int round = 0;
  const int steps = at_steps(
      setup, [&] { return bool(program::load(node.root(), config(100 + round))); },
      [&] {
        round++;
        CHECK(hanging(node).hooks == 5 + setup.hooks());
        CHECK(Datapath::open(node.root()));
        must(program::load(node.root(), config(60)));
        CHECK(hanging(node).hooks == 5 + setup.hooks());
        CHECK(hanging(node).ids == pinned_ids(node));
        CHECK(unfinished_pins(node).empty());
      });
  CHECK(steps > 10);  // five hooks, their pins, the record twice
}

void check_first_load(const Setup& setup) {
  auto node = std::make_unique<Node>();
  const int steps = at_steps(
      setup, [&] { return bool(program::load(node->root(), setup.config(60))); },
      [&] {
        must(program::load(node->root(), setup.config(60)));
        CHECK(Datapath::open(node->root()));
        CHECK(hanging(*node).hooks == setup.hooks());
        CHECK(unfinished_pins(*node).empty());
        node = std::make_unique<Node>();
      });
  CHECK(steps > 10);
}

void check_removal(const Setup& setup) {
  std::unique_ptr<Node> node;
  const auto fresh = [&] {
    node.reset();  // takes the interfaces away before there are new ones of the same names
    node = std::make_unique<Node>();
    auto config = setup.config(60);
    config.uplinks = {node->add_interface("slukre2").name};
    must(program::load(node->root(), config));
    auto datapath = must(Datapath::open(node->root()));
    attach_both_ways(*node, datapath, "slukre");
  };
  fresh();
  const int steps = at_steps(
      setup, [&] { return bool(program::remove(node->root())); },
      [&] {
        must(program::remove(node->root()));
        CHECK(!std::filesystem::exists(node->root().pins()));
        CHECK(program::load_record(node->root()).failed_with(ENOENT));
        CHECK(programs_on(setup.group) == 0);
        must(program::load(node->root(), config_with_udp_timeout(60)));
        CHECK(hanging(*node).hooks == 0);  // of the programs of before, too: they would be listed
        fresh();
      });
  CHECK(steps > 10);
}

}  // namespace

TEST_CASE("an upgrade that is killed at any step leaves programs on every hook, and the next load finishes it") {
  const TestGroup group(kGroup);
  for (const bool sockets : {false, true}) check_upgrade({group, sockets});
}

TEST_CASE("a first load that is killed at any step is finished by the next") {
  const TestGroup group(kGroup);
  for (const bool sockets : {false, true}) check_first_load({group, sockets});
}

TEST_CASE("a removal that is killed at any step is finished by the next") {
  const TestGroup group(kGroup);
  for (const bool sockets : {false, true}) check_removal({group, sockets});
}
