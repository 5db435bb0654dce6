/// Processes inside a node or a pod.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "loader/net/netns.hpp"
#include "maps/result.hpp"
#include "tests/lab/paths.hpp"

namespace sluice::lab {

/// Where a process runs. Only the network namespace is another: files, and what is mounted, are the machine's.
struct Inside {
  const loader::net::Netns& netns;
  Path cgroup;  ///< its path in the file system
};

struct Finished {
  int status = 0;  ///< exit status; 128 + N: ended by signal N
  std::string output;
};

/// Runs `program` with exactly this environment, `input` on its standard input and its standard output collected;
/// standard error is the caller's. Blocks until it has ended. The error is that of the start.
Result<Finished> run(const Inside& inside, const Path& program, const std::map<std::string, std::string>& environment,
                     const std::string& input);

/// Starts `command` in the background, in a session of its own, with both outputs added to `log`; returns its id. It is
/// the caller's child. That it cannot be run shows in the log, and as exit status 127.
Result<pid_t> start(const Inside& inside, const std::vector<std::string>& command,
                    const std::map<std::string, std::string>& extra, const Path& log);

/// Turns the calling process into `command` (looked up in PATH) with `extra` added to its environment: standard input
/// and output, terminal, signals and exit status are then the command's own. Returns only an error; ENOENT: no such
/// command.
Error become(const Inside& inside, const std::vector<std::string>& command,
             const std::map<std::string, std::string>& extra);

}  // namespace sluice::lab
