/// A pod on a test's node: a network namespace that is attached to the datapath as the CNI plugin does it.
#pragma once

#include <functional>
#include <string>

#include "loader/net/netns.hpp"
#include "loader/program/datapath.hpp"
#include "maps/address.hpp"
#include "tests/loader/node.hpp"

namespace sluice::test {

class Pod {
 public:
  /// `name` is that of the interface's host end, too.
  Pod(Node& node, loader::program::Datapath& datapath, const std::string& name, const std::string& v4,
      const std::string& v6, loader::AttachMode mode = loader::AttachMode::kAuto);
  ~Pod();

  /// Runs `work` in a child process inside the pod's namespace; the child's status is 0 when it returns true.
  [[nodiscard]] pid_t start(const std::function<bool()>& work) const;

 private:
  std::string path_;
  std::unique_ptr<loader::net::Netns> netns_;
};

/// Attaches the programs to a host's end; by clsact where tcx is asked for and the kernel has none.
void attach_by(loader::program::Datapath& datapath, const loader::net::Link& host_end, loader::AttachMode mode);

/// The status with which a child process has ended; -1: it was killed.
int exit_status(pid_t child);

}  // namespace sluice::test
