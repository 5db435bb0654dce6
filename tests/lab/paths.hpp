/// Where everything of one lab lies: /run/sluice-lab/NAME and network namespaces that `ip netns` shows.
#pragma once

#include <filesystem>
#include <string>

#include "loader/root.hpp"
#include "maps/result.hpp"

namespace sluice::lab {

using Path = std::filesystem::path;

/// What all labs share.
inline constexpr const char* kLabs = "/run/sluice-lab";
inline constexpr const char* kNetnsFolder = "/run/netns";

/// A pod's name with its namespace; as text "default/web".
struct PodName {
  std::string ns;
  std::string name;

  /// "default/web", or "web" for the namespace default. EINVAL: neither.
  static Result<PodName> parse(const std::string& text);
  [[nodiscard]] std::string text() const { return ns + "/" + name; }
  auto operator<=>(const PodName&) const = default;
};

class Paths {
 public:
  /// EINVAL: not a name that a lab can have: up to 40 of a-z, 0-9 and "-". A dot would let the network namespaces of
  /// two labs have one name.
  static Result<Paths> of(const std::string& lab);

  [[nodiscard]] const std::string& lab() const { return lab_; }
  [[nodiscard]] Path folder() const { return Path(kLabs) / lab_; }
  [[nodiscard]] Path lock_file() const { return Path(kLabs) / (lab_ + ".lock"); }
  /// What each node's agent is to know, for nodes that come later.
  [[nodiscard]] Path objects() const { return folder() / "objects"; }
  /// Holds the path of the agent that runs on every node; not there: none does.
  [[nodiscard]] Path agent_file() const { return folder() / "agent"; }
  [[nodiscard]] Path underlay_netns() const { return netns("underlay"); }

  [[nodiscard]] Path nodes() const { return folder() / "nodes"; }
  [[nodiscard]] Path node(const std::string& name) const { return nodes() / name; }
  [[nodiscard]] Path node_record(const std::string& name) const { return node(name) / "node.json"; }
  [[nodiscard]] loader::Root node_root(const std::string& name) const { return loader::Root(node(name) / "root"); }
  [[nodiscard]] Path agent_log(const std::string& node) const { return this->node(node) / "root/var/log/sluiced.log"; }
  [[nodiscard]] Path node_netns(const std::string& name) const { return netns(name); }

  [[nodiscard]] Path pods() const { return folder() / "pods"; }
  [[nodiscard]] Path pod_record(const PodName& pod) const { return pods() / pod.ns / (pod.name + ".json"); }
  [[nodiscard]] Path pod_netns(const PodName& pod) const { return netns(pod.ns + "." + pod.name); }

  /// Below the root of the cgroup2 hierarchy.
  [[nodiscard]] Path cgroup() const { return Path("sluice-lab") / lab_; }
  [[nodiscard]] Path node_cgroup(const std::string& name) const { return cgroup() / name; }
  [[nodiscard]] Path pod_cgroup(const std::string& node, const PodName& pod) const {
    return node_cgroup(node) / (pod.ns + "." + pod.name);
  }

 private:
  explicit Paths(std::string lab) : lab_(std::move(lab)) {}
  [[nodiscard]] Path netns(const std::string& name) const { return Path(kNetnsFolder) / (lab_ + "." + name); }

  std::string lab_;
};

}  // namespace sluice::lab
