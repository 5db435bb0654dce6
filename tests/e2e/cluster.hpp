/// A lab of a test's own, taken down with it.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <thread>

#include "loader/net/netns.hpp"
#include "loader/root.hpp"
#include "maps/address.hpp"
#include "maps/drop_reason.h"
#include "maps/metrics.h"
#include "maps/result.hpp"
#include "tests/e2e/process.hpp"
#include "tests/e2e/socket.hpp"

namespace sluice::e2e {

extern const char* const kTwoNodes;  ///< the path of the example that ships

/// A value that a test cannot go on without.
template <typename T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().message);
  return *std::move(result);
}

inline void must(const Result<void>& result) {
  if (!result) FAIL(result.error().message);
}

/// True as soon as `condition` is, false when it is not after `limit`.
template <typename Condition>
bool within(std::chrono::milliseconds limit, Condition condition) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

/// A file with this text, gone with the object.
class TextFile {
 public:
  explicit TextFile(const std::string& text, const std::string& ending = ".yaml");
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;
  ~TextFile();
  [[nodiscard]] std::string path() const { return path_; }

 private:
  std::string path_;
};

/// Kubernetes objects in YAML, each with the document mark before it. `number` tells nodes, their addresses and pod
/// CIDRs apart: node 3 is node-3, 172.18.0.13 and fd00:172:18::13, with 10.244.3.0/24 and fd00:10:244:3::/64.
std::string node_yaml(int number);
/// With this JSON object in its configuration, or this mode; its first address is of the family that is named here, so
/// that tunnels go over it.
std::string config_node_yaml(int number, const std::string& config, bool underlay_v4 = true);
std::string mode_node_yaml(int number, const std::string& mode, bool underlay_v4 = true);
std::string overlay_node_yaml(int number, bool underlay_v4 = true);
std::string pod_yaml(const std::string& name, const std::string& node, const std::string& plugin_config = {});

/// A name that no other lab has.
std::string new_lab_name();

/// Whatever of a lab lies outside its processes: its folder, network namespaces, mounts and control groups. Empty:
/// nothing is left.
std::string remains_of(const std::string& lab);

/// What a node and a pod look like from a test.
struct Place {
  std::string name;
  std::string node;
  loader::net::Netns netns;
  std::map<bool, Address> addresses;  ///< by "is IPv4"
  std::filesystem::path cgroup;       ///< of its processes

  [[nodiscard]] Address address(bool v4) const { return addresses.at(v4); }
  /// Of sockets of its own processes.
  [[nodiscard]] Home home() const { return {netns, cgroup}; }
};

class Cluster {
 public:
  /// Up with examples/two-nodes.yaml: pods client and web on node-1, api and db on node-2.
  Cluster();
  explicit Cluster(const std::string& yaml);
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;
  ~Cluster();

  [[nodiscard]] const std::string& name() const { return name_; }
  /// sluice-lab with this lab's name.
  [[nodiscard]] Outcome lab(const Command& arguments, const std::string& input = {}) const;
  [[nodiscard]] Outcome exec(const std::string& pod, const Command& command, const std::string& input = {}) const;
  [[nodiscard]] Outcome on_node(const std::string& node, const Command& command) const;

  /// "NAMESPACE/NAME", or the name alone of one in the namespace default.
  [[nodiscard]] Place pod(const std::string& name) const;
  [[nodiscard]] Place node(const std::string& name) const;
  /// Outside of the cluster: the nodes' default router.
  [[nodiscard]] Place world() const;
  [[nodiscard]] loader::Root root(const std::string& node) const;
  /// Packets that a node's programs dropped for this reason (DROP_NONE: forwarded), at all hooks.
  [[nodiscard]] std::uint64_t packets(const std::string& node, maps::drop_reason reason) const;

 private:
  void up(const std::string& file);

  std::string name_;
};

}  // namespace sluice::e2e
