#include "tests/lab/pod.hpp"

#include <random>

#include "loader/net/netns.hpp"
#include "tests/lab/cgroup.hpp"
#include "tests/lab/plugin.hpp"

namespace sluice::lab {

namespace {

using loader::net::Netns;

/// Never the same twice, as a runtime's: what is left of an older pod of this name is not taken for this one's.
std::string new_container_id() {
  constexpr const char* kDigits = "0123456789abcdef";
  std::random_device random;
  std::string id;
  for (int i = 0; i < 32; ++i) id += kDigits[random() % 16];
  return id;
}

Result<PodRecord> attach(const Paths& paths, const Path& plugin, PodRecord pod) {
  TRY(save(paths, pod));
  TRY(cgroup::create(paths.pod_cgroup(pod.node, pod.pod)));
  if (pod.host_network) {
    if (const auto node = TRY(load_node(paths, pod.node))) pod.ips = node->addresses;
  } else {
    TRY(Netns::create(paths.pod_netns(pod.pod)));
    pod.ips = TRY(plugin_add(paths, plugin, pod));
  }
  pod.ready = true;
  TRY(save(paths, pod));
  return pod;
}

}  // namespace

Result<PodRecord> create_pod(const Paths& paths, const Path& plugin, PodRecord pod) {
  pod.container_id = new_container_id();
  auto attached = attach(paths, plugin, pod);
  if (!attached) (void)destroy_pod(paths, plugin, pod);
  return attached;
}

Result<void> destroy_pod(const Paths& paths, const Path& plugin, const PodRecord& pod) {
  const auto doing = "remove Pod " + pod.pod.text();
  TRY(cgroup::destroy(paths.pod_cgroup(pod.node, pod.pod)).context(doing));
  if (!pod.host_network) {
    TRY(plugin_del(paths, plugin, pod).context(doing));
    TRY(Netns::destroy(paths.pod_netns(pod.pod)).context(doing));
  }
  return remove_file(paths.pod_record(pod.pod));
}

}  // namespace sluice::lab
