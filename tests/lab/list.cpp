#include "tests/lab/list.hpp"

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/lab/record.hpp"

namespace sluice::lab {

namespace {

using Row = std::vector<std::string>;

struct Contents {
  std::vector<NodeRecord> nodes;
  std::vector<PodRecord> pods;
  std::size_t half_made = 0;
};

Result<Contents> load(const Paths& paths) {
  std::error_code error;
  if (!std::filesystem::exists(paths.folder(), error)) {
    return refuse(ENOENT, "there is no lab " + paths.lab() + "; sluice-lab up makes one");
  }
  Contents contents{.nodes = TRY(load_nodes(paths)), .pods = TRY(load_pods(paths))};
  contents.half_made += std::erase_if(contents.nodes, [](const NodeRecord& node) { return !node.ready; });
  contents.half_made += std::erase_if(contents.pods, [](const PodRecord& pod) { return !pod.ready; });
  return contents;
}

template <typename T>
std::vector<std::string> texts(const std::vector<T>& values) {
  std::vector<std::string> all;
  for (const auto& value : values) all.push_back(value.text());
  return all;
}

template <typename T>
std::string joined(const std::vector<T>& values) {
  std::string line;
  for (const auto& value : values) line += (line.empty() ? "" : ",") + value.text();
  return line;
}

std::string table(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - row[i].size() + 2, ' ');
    }
    text += '\n';
  }
  return text;
}

}  // namespace

Result<std::string> list_json(const Paths& paths) {
  const auto contents = TRY(load(paths));
  nlohmann::ordered_json nodes = nlohmann::ordered_json::array();
  for (const auto& node : contents.nodes) {
    nodes.push_back({{"name", node.name},
                     {"netns", paths.node_netns(node.name)},
                     {"root", paths.node_root(node.name).prefix()},
                     {"addresses", texts(node.addresses)},
                     {"podCIDRs", texts(node.pod_cidrs)}});
  }
  nlohmann::ordered_json pods = nlohmann::ordered_json::array();
  for (const auto& pod : contents.pods) {
    pods.push_back({{"namespace", pod.pod.ns},
                    {"name", pod.pod.name},
                    {"node", pod.node},
                    {"netns", netns_of(paths, pod)},
                    {"ips", texts(pod.ips)}});
  }
  const nlohmann::ordered_json all{{"nodes", nodes}, {"pods", pods}};
  return all.dump(2) + "\n";
}

Result<std::string> list_table(const Paths& paths) {
  const auto contents = TRY(load(paths));
  std::vector<Row> nodes{{"NODE", "ADDRESSES", "POD CIDRS", "NETNS"}};
  for (const auto& node : contents.nodes) {
    nodes.push_back({node.name, joined(node.addresses), joined(node.pod_cidrs), paths.node_netns(node.name)});
  }
  std::vector<Row> pods{{"POD", "NODE", "IPS", "NETNS"}};
  for (const auto& pod : contents.pods) {
    pods.push_back({pod.pod.text(), pod.node, joined(pod.ips), netns_of(paths, pod)});
  }
  std::string text = table(nodes);
  if (!contents.pods.empty()) text += "\n" + table(pods);
  if (contents.half_made != 0) {
    text += "\n" + std::to_string(contents.half_made) + " half made: apply the files again, or take the lab down\n";
  }
  return text;
}

}  // namespace sluice::lab
