/// What a load has put where, as the tests of load, upgrade and removal look at it.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "loader/config.hpp"
#include "loader/program/datapath.hpp"
#include "tests/loader/node.hpp"

namespace sluice::test {

/// Small maps, and a time-out that makes one load another than the next. Sockets are left alone.
loader::NodeConfig config_with_udp_timeout(int seconds);

/// A control group of the test's own, which has to be empty when it goes.
class TestGroup {
 public:
  explicit TestGroup(const std::string& name);
  TestGroup(const TestGroup&) = delete;
  TestGroup& operator=(const TestGroup&) = delete;
  ~TestGroup();

  [[nodiscard]] const std::string& path() const { return path_; }
  /// As config_with_udp_timeout, with the hooks of sockets on this group.
  [[nodiscard]] loader::NodeConfig config(int udp_timeout_seconds) const;

 private:
  std::string path_;
};

/// Ids of the programs that hang on interfaces and control groups, and how many hooks there are.
struct Hanging {
  std::set<std::uint32_t> ids;
  std::size_t hooks = 0;
};
Hanging hanging(const Node& node);

/// How many programs are on the group, whoever put them there.
std::size_t programs_on(const TestGroup& group);

/// Ids of the programs that are pinned, but for that of the overlay, and that of uplinks where there are none.
std::set<std::uint32_t> pinned_ids(const Node& node);

/// Pins that were made under a name for the time being and never got their own.
std::vector<std::string> unfinished_pins(const Node& node);

/// Two interfaces named `name` with a number, one attached by clsact, the other by tcx where the kernel has it: four
/// hooks.
void attach_both_ways(Node& node, loader::program::Datapath& datapath, const std::string& name);

}  // namespace sluice::test
