/// Load, upgrade and removal of a node's datapath. Each takes the exclusive lock, works in the calling thread's network
/// namespace, and undoes what it has done where it fails.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "loader/config.hpp"
#include "loader/root.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

struct LoadReport {
  enum class Outcome {
    kUnchanged,  ///< these programs with this configuration are in force already
    kLoaded,     ///< nothing was loaded before
    kUpgraded,   ///< other programs were
  };
  Outcome outcome = Outcome::kUnchanged;
  std::size_t hooks = 0;              ///< hooks of interfaces and sockets that got a new program
  std::vector<std::string> warnings;  ///< what the configuration asked for and did not get
};

/// Loads this binary's programs with `config`, or puts them in the place of those that run: hook by hook, each in one
/// step and with the maps kept, so that every packet meets one whole program, old or new. Where one hook fails, those
/// before it get their old program back. What a killed upgrade has left is finished by the next.
Result<LoadReport> load(const Root& root, const NodeConfig& config);

/// Takes the programs off every interface and the sockets, and removes all pins and the routes to other nodes' pods:
/// what is connected goes on through the host's stack. Returns the number of hooks that were attached. Succeeds when
/// nothing is loaded.
Result<std::size_t> remove(const Root& root);

/// Attaches programs to the interfaces of known pods that lack them. Returns the number of interfaces. ENOENT: nothing
/// is loaded.
Result<std::size_t> repair(const Root& root, AttachMode mode);

/// What datapath.json in the run folder says of the loaded datapath.
struct LoadRecord {
  std::string version;    ///< of Sluice
  std::string identity;   ///< object_identity
  bool complete = false;  ///< false: an upgrade has begun and not ended
};

/// ENOENT: there is none.
Result<LoadRecord> load_record(const Root& root);

}  // namespace sluice::loader::program
