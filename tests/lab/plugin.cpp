#include "tests/lab/plugin.hpp"

#include <cerrno>
#include <nlohmann/json.hpp>

#include "tests/lab/cgroup.hpp"
#include "tests/lab/process.hpp"

namespace sluice::lab {

namespace {

using nlohmann::json;

/// The configuration as a runtime makes it of a list of which the plugin is the only one.
Result<std::string> configuration(const Paths& paths, const PodRecord& pod) {
  json config{{"cniVersion", "1.1.0"},
              {"name", "sluice"},
              {"type", "sluice-cni"},
              {"root", paths.node_root(pod.node).prefix().string()}};
  if (!pod.plugin_config.empty()) {
    const auto extra = json::parse(pod.plugin_config, nullptr, false);
    if (!extra.is_object()) return refuse(EINVAL, "the plugin configuration of Pod " + pod.pod.text() + " is not JSON");
    config.update(extra);
  }
  return config.dump();
}

/// What the plugin says is wrong, in one sentence.
std::string words_of(const Finished& finished) {
  const auto error = json::parse(finished.output, nullptr, false);
  const auto member = [&](const char* name) {
    return error.contains(name) && error[name].is_string() ? error[name].get<std::string>() : "";
  };
  const auto message = member("msg");
  const auto details = member("details");
  if (message.empty()) return "exit status " + std::to_string(finished.status);
  return details.empty() ? message : message + ": " + details;
}

Result<std::string> call(const Paths& paths, const Path& plugin, const PodRecord& pod, const std::string& command) {
  const auto doing = command + " of " + plugin.filename().string() + " for Pod " + pod.pod.text();
  const auto netns = TRY(loader::net::Netns::open(paths.node_netns(pod.node)).context(doing));
  // An ADD that outlives a killed lab ends with its pod: no later DEL ever runs beside it.
  const auto group =
      TRY(cgroup::create(command == "ADD" ? paths.pod_cgroup(pod.node, pod.pod) : paths.node_cgroup(pod.node)));
  const std::map<std::string, std::string> environment{
      {"CNI_COMMAND", command},
      {"CNI_CONTAINERID", pod.container_id},
      {"CNI_NETNS", paths.pod_netns(pod.pod)},
      {"CNI_IFNAME", "eth0"},
      {"CNI_PATH", plugin.parent_path().string() + ":/opt/cni/bin:/usr/lib/cni"},
      {"CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=" + pod.pod.ns + ";K8S_POD_NAME=" + pod.pod.name +
                       ";K8S_POD_INFRA_CONTAINER_ID=" + pod.container_id},
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}};
  const auto finished = TRY(run({netns, group}, plugin, environment, TRY(configuration(paths, pod))).context(doing));
  if (finished.status != 0) return refuse(EIO, doing + ": " + words_of(finished));
  return finished.output;
}

}  // namespace

Result<std::vector<Address>> plugin_add(const Paths& paths, const Path& plugin, const PodRecord& pod) {
  const auto output = TRY(call(paths, plugin, pod, "ADD"));
  const auto result = json::parse(output, nullptr, false);
  const auto wrong = refuse(EPROTO, "ADD for Pod " + pod.pod.text() + ": not a CNI result: " + output.substr(0, 200));
  if (!result.is_object() || !result.contains("ips") || !result["ips"].is_array()) return wrong;
  std::vector<Address> addresses;
  for (const auto& ip : result["ips"]) {
    if (!ip.is_object() || !ip.contains("address") || !ip["address"].is_string()) return wrong;
    addresses.push_back(TRY(Prefix::parse(ip["address"].get<std::string>()).context(wrong.message)).address);
  }
  return addresses;
}

Result<void> plugin_del(const Paths& paths, const Path& plugin, const PodRecord& pod) {
  TRY(call(paths, plugin, pod, "DEL"));
  return {};
}

}  // namespace sluice::lab
