#include "tests/lab/object_folder.hpp"

#include <nlohmann/json.hpp>

namespace sluice::lab {

namespace {

using nlohmann::json;

/// Names of all kinds have no "/" or "%"; where they have what shells and people stumble over, that stays.
std::string file_name(const loader::kube::ObjectId& id) {
  return id.kind + "." + (id.ns.empty() ? "" : id.ns + ".") + id.name + ".json";
}

Result<std::vector<Path>> folders(const Paths& paths) {
  std::vector<Path> all{paths.objects()};
  for (const auto& node : TRY(load_nodes(paths))) all.push_back(paths.node_root(node.name).objects());
  return all;
}

}  // namespace

Result<void> put_object(const Paths& paths, const loader::kube::ObjectId& id, const std::string& text) {
  for (const auto& folder : TRY(folders(paths))) {
    const auto file = folder / file_name(id);
    if (TRY(read_file(file)) != text) TRY(write_file(file, text));
  }
  return {};
}

Result<std::optional<std::string>> get_object(const Paths& paths, const loader::kube::ObjectId& id) {
  return read_file(paths.objects() / file_name(id));
}

Result<void> remove_object(const Paths& paths, const loader::kube::ObjectId& id) {
  for (const auto& folder : TRY(folders(paths))) TRY(remove_file(folder / file_name(id)));
  return {};
}

Result<void> put_first_objects(const Paths& paths) {
  return put_object(paths, {"Namespace", "", "default"},
                    R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default"}})"
                    "\n");
}

std::string pod_text(const loader::kube::Object& object, const std::vector<Address>& ips) {
  if (ips.empty()) return object.json + "\n";
  auto pod = json::parse(object.json);
  auto& status = pod["status"];
  status["podIP"] = ips.front().text();
  status["podIPs"] = json::array();
  for (const auto& ip : ips) status["podIPs"].push_back({{"ip", ip.text()}});
  if (!status.contains("phase")) status["phase"] = "Running";
  if (!status.contains("conditions")) status["conditions"] = {{{"type", "Ready"}, {"status", "True"}}};
  return pod.dump() + "\n";
}

}  // namespace sluice::lab
