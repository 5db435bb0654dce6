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

/// Small maps, and a time-out that makes one load another than the next.
loader::NodeConfig config_with_udp_timeout(int seconds);

/// Ids of the programs that hang on interfaces, and how many hooks there are.
struct Hanging {
  std::set<std::uint32_t> ids;
  std::size_t hooks = 0;
};
Hanging hanging(const Node& node);

/// Ids of the programs that are pinned.
std::set<std::uint32_t> pinned_ids(const Node& node);

/// Pins that were made under a name for the time being and never got their own.
std::vector<std::string> unfinished_pins(const Node& node);

/// Two interfaces named `name` with a number, one attached by clsact, the other by tcx where the kernel has it: four
/// hooks.
void attach_both_ways(Node& node, loader::program::Datapath& datapath, const std::string& name);

}  // namespace sluice::test
