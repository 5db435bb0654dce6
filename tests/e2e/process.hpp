/// Programs run to their end, or started and left to the test.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace sluice::e2e {

using Command = std::vector<std::string>;

struct Outcome {
  int status = 0;      ///< exit status; 128 + N: ended by signal N
  std::string output;  ///< standard output and standard error
};

/// Runs `command` (found in PATH) with `input` on its standard input.
Outcome run(const Command& command, const std::string& input = {});

/// A process of the test's own, killed at the end of the scope.
class Process {
 public:
  /// Its output is thrown away.
  explicit Process(const Command& command);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool runs();
  void signal(int number) const;
  /// Waits for the end; the status as in Outcome.
  int wait();

 private:
  pid_t pid_;
  int status_ = -1;
};

/// Where sluice-lab and its companions are: the folder of the running test program.
std::filesystem::path binary(const std::string& name);

}  // namespace sluice::e2e
