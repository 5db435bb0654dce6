/// What a lab writes down of its nodes and pods, ahead of making them: whatever a killed command leaves is known.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "maps/address.hpp"
#include "maps/result.hpp"
#include "tests/lab/paths.hpp"

namespace sluice::lab {

struct NodeRecord {
  std::string name;
  std::vector<Address> addresses;
  std::vector<Prefix> pod_cidrs;
  std::string config;  ///< JSON object whose keys go into the node's configuration; empty: none
  bool ready = false;  ///< false: its making has begun and not ended

  [[nodiscard]] bool same_object(const NodeRecord& other) const {
    return name == other.name && addresses == other.addresses && pod_cidrs == other.pod_cidrs && config == other.config;
  }
};

struct PodRecord {
  PodName pod;
  std::string node;
  bool host_network = false;  ///< lives in its node's namespace; no plugin is run for it
  std::string plugin_config;  ///< JSON object whose keys go into the plugin's configuration; empty: none
  std::string container_id;
  std::vector<Address> ips;
  bool ready = false;

  [[nodiscard]] bool same_object(const PodRecord& other) const {
    return pod == other.pod && node == other.node && host_network == other.host_network &&
           plugin_config == other.plugin_config;
  }
};

/// Replaces the file in one step: a reader finds the old text or the new.
Result<void> write_file(const Path& file, const std::string& text);
/// nullopt: there is no such file.
Result<std::optional<std::string>> read_file(const Path& file);
/// Succeeds when there is no such file.
Result<void> remove_file(const Path& file);

Result<void> save(const Paths& paths, const NodeRecord& node);
Result<void> save(const Paths& paths, const PodRecord& pod);

/// Those that are not ready among them; sorted by name.
Result<std::vector<NodeRecord>> load_nodes(const Paths& paths);
Result<std::vector<PodRecord>> load_pods(const Paths& paths);
Result<std::optional<NodeRecord>> load_node(const Paths& paths, const std::string& name);
Result<std::optional<PodRecord>> load_pod(const Paths& paths, const PodName& pod);

/// The path of the network namespace that a pod lives in.
Path netns_of(const Paths& paths, const PodRecord& pod);

}  // namespace sluice::lab
