/// How BIRD fares with its peers, as it says itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "loader/root.hpp"
#include "maps/result.hpp"

namespace sluice::loader::bgp {

struct PeerStatus {
  std::string protocol;  ///< BIRD's name of it: sluice_peer_1
  std::string address;
  std::uint32_t asn = 0;
  std::string state;                         ///< "Established", "Active", "Idle", ...
  std::string since;                         ///< as BIRD writes times
  std::uint32_t imported = 0, exported = 0;  ///< routes
  std::string error;                         ///< the last one; empty: none
};

struct BgpStatus {
  std::string version;                 ///< of BIRD
  std::string mark;                    ///< of the configuration in force (Configuration::mark); empty: none of ours
  std::vector<PeerStatus> peers;       ///< those that are ours
  std::vector<std::string> announced;  ///< blocks
};

/// As ask_bird.
Result<BgpStatus> bgp_status(const Root& root);

/// The peers in the answer to "show protocols all".
std::vector<PeerStatus> peers_in(const std::vector<std::string>& lines);

}  // namespace sluice::loader::bgp
