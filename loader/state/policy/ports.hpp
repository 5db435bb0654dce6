/// From the rules of one direction to what the datapath looks up by port (maps/policy.h): the ports are split so that
/// the most specific entry holds the whole answer for its ports. Pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "maps/policy.h"

namespace sluice::loader::state::policy {

/// Ports of one protocol, or (protocol 0) everything.
struct PortRange {
  std::uint8_t proto = 0;  ///< IPPROTO_*; 0: every protocol, and the ports say nothing
  std::uint16_t first = 0;
  std::uint16_t last = 65535;
  auto operator<=>(const PortRange&) const = default;
};

enum class Tier : std::uint8_t { kAdmin, kNetwork, kBaseline };

/// One rule as it is for one pod: peers are classes, named ports are numbers.
struct Rule {
  Tier tier = Tier::kNetwork;
  maps::tier_verdict verdict{};
  bool everyone = false;
  std::vector<std::uint32_t> classes;  ///< where not everyone
  std::vector<PortRange> ports;        ///< none: the rule is for nothing
};

/// What is said of whom, for some ports.
struct Answer {
  maps::peer_verdict everyone{};
  std::map<std::uint32_t, maps::peer_verdict> peers;  ///< by class
};

/// An entry of policy_ports without numbers.
struct PortEntry {
  std::uint8_t proto = 0;
  std::uint16_t port = 0;
  std::uint8_t length = 0;  ///< of the prefix, 0..16
  Answer answer;
};

/// At most one entry for each protocol, port and length. Nothing at all: no rule says anything.
std::vector<PortEntry> split_ports(const std::vector<Rule>& rules);

}  // namespace sluice::loader::state::policy
