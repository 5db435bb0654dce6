/// Where everything of one node lies. Every program of Sluice takes one root, and nothing is found elsewhere: with
/// another root, another node lives on the same machine.
#pragma once

#include <filesystem>
#include <string>

#include "maps/layout.h"

namespace sluice::loader {

class Root {
 public:
  /// `prefix` stands before every path; empty on a real node. Taken from --root, the CNI key "root", or SLUICE_ROOT.
  explicit Root(std::filesystem::path prefix = {}) : prefix_(std::move(prefix)) {}

  /// The root named by SLUICE_ROOT, else the machine's own.
  static Root from_environment();

  [[nodiscard]] const std::filesystem::path& prefix() const { return prefix_; }
  [[nodiscard]] std::filesystem::path bpffs() const { return at("/sys/fs/bpf"); }        ///< a mounted bpf filesystem
  [[nodiscard]] std::filesystem::path pins() const { return at("/sys/fs/bpf/sluice"); }  ///< maps, programs, links
  [[nodiscard]] std::filesystem::path maps() const {
    return pins() / "maps" / ("v" + std::to_string(SLUICE_LAYOUT_VERSION));
  }
  [[nodiscard]] std::filesystem::path cgroup() const { return at("/sys/fs/cgroup"); }
  [[nodiscard]] std::filesystem::path state() const { return at("/var/lib/sluice"); }  ///< survives a reboot
  [[nodiscard]] std::filesystem::path run() const { return at("/run/sluice"); }        ///< locks, sockets
  [[nodiscard]] std::filesystem::path config_file() const { return at("/etc/sluice/sluice.yaml"); }
  [[nodiscard]] std::filesystem::path deny_list() const { return at("/etc/sluice/deny.list"); }
  [[nodiscard]] std::filesystem::path objects() const { return at("/etc/sluice/objects"); }  ///< manifests, watched

 private:
  [[nodiscard]] std::filesystem::path at(const char* path) const { return prefix_.string() + path; }

  std::filesystem::path prefix_;
};

}  // namespace sluice::loader
