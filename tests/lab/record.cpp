#include "tests/lab/record.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "maps/fd.hpp"

namespace sluice::lab {

namespace {

using nlohmann::json;

template <typename T>
json texts_of(const std::vector<T>& values) {
  json list = json::array();
  for (const auto& value : values) list.push_back(value.text());
  return list;
}

template <typename T>
Result<std::vector<T>> parse_all(const json& list) {
  std::vector<T> values;
  for (const auto& text : list) values.push_back(TRY(T::parse(text.get<std::string>())));
  return values;
}

Result<NodeRecord> node_of(const json& from) {
  return NodeRecord{.name = from.at("name"),
                    .addresses = TRY(parse_all<Address>(from.at("addresses"))),
                    .pod_cidrs = TRY(parse_all<Prefix>(from.at("podCIDRs"))),
                    .config = from.at("config"),
                    .ready = from.at("ready")};
}

Result<PodRecord> pod_of(const json& from) {
  return PodRecord{.pod = {from.at("namespace"), from.at("name")},
                   .node = from.at("node"),
                   .host_network = from.at("hostNetwork"),
                   .plugin_config = from.at("pluginConfig"),
                   .container_id = from.at("containerID"),
                   .ips = TRY(parse_all<Address>(from.at("ips"))),
                   .ready = from.at("ready")};
}

/// The record in `file`; `read` makes it of the JSON.
template <typename T>
Result<std::optional<T>> load(const Path& file, Result<T> (*read)(const json&)) {
  const auto text = TRY(read_file(file));
  if (!text) return std::optional<T>();
  try {
    return std::optional<T>(TRY(read(json::parse(*text)).context(file.string())));
  } catch (const json::exception& error) {
    return refuse(EINVAL, file.string() + ": " + error.what());
  }
}

/// The entries of a folder, sorted; none where there is no folder.
std::vector<Path> entries(const Path& folder) {
  std::error_code error;
  std::vector<Path> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

Result<void> write_file(const Path& file, const std::string& text) {
  const auto doing = "write " + file.string();
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  if (error) return fail(error.value(), doing);
  const Path temporary = file.parent_path() / ("." + file.filename().string() + ".new");
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return fail(errno, doing);
  const Fd out(fd);
  if (::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) return fail(errno, doing);
  if (::rename(temporary.c_str(), file.c_str()) != 0) return fail(errno, doing);
  return {};
}

Result<std::optional<std::string>> read_file(const Path& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return std::optional<std::string>();
  if (fd < 0) return fail(errno, "read " + file.string());
  const Fd in(fd);
  std::string text;
  char buffer[4096];
  ssize_t length = 0;
  while ((length = ::read(fd, buffer, sizeof buffer)) > 0) text.append(buffer, static_cast<std::size_t>(length));
  if (length < 0) return fail(errno, "read " + file.string());
  return std::optional(std::move(text));
}

Result<void> remove_file(const Path& file) {
  if (::unlink(file.c_str()) != 0 && errno != ENOENT && errno != ENOTDIR) return fail(errno, "remove " + file.string());
  return {};
}

Result<void> save(const Paths& paths, const NodeRecord& node) {
  const json record{{"name", node.name},
                    {"addresses", texts_of(node.addresses)},
                    {"podCIDRs", texts_of(node.pod_cidrs)},
                    {"config", node.config},
                    {"ready", node.ready}};
  return write_file(paths.node_record(node.name), record.dump() + "\n");
}

Result<void> save(const Paths& paths, const PodRecord& pod) {
  const json record{{"namespace", pod.pod.ns},
                    {"name", pod.pod.name},
                    {"node", pod.node},
                    {"hostNetwork", pod.host_network},
                    {"pluginConfig", pod.plugin_config},
                    {"containerID", pod.container_id},
                    {"ips", texts_of(pod.ips)},
                    {"ready", pod.ready}};
  return write_file(paths.pod_record(pod.pod), record.dump() + "\n");
}

Result<std::optional<NodeRecord>> load_node(const Paths& paths, const std::string& name) {
  return load<NodeRecord>(paths.node_record(name), node_of);
}

Result<std::optional<PodRecord>> load_pod(const Paths& paths, const PodName& pod) {
  return load<PodRecord>(paths.pod_record(pod), pod_of);
}

Result<std::vector<NodeRecord>> load_nodes(const Paths& paths) {
  std::vector<NodeRecord> nodes;
  for (const auto& folder : entries(paths.nodes())) {
    if (auto node = TRY(load_node(paths, folder.filename()))) nodes.push_back(std::move(*node));
  }
  return nodes;
}

Result<std::vector<PodRecord>> load_pods(const Paths& paths) {
  std::vector<PodRecord> pods;
  for (const auto& ns : entries(paths.pods())) {
    for (const auto& file : entries(ns)) {
      if (file.extension() != ".json") continue;
      if (auto pod = TRY(load<PodRecord>(file, pod_of))) pods.push_back(std::move(*pod));
    }
  }
  return pods;
}

Path netns_of(const Paths& paths, const PodRecord& pod) {
  return pod.host_network ? paths.node_netns(pod.node) : paths.pod_netns(pod.pod);
}

}  // namespace sluice::lab
