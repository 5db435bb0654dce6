#include "loader/state/policy/subjects.hpp"

namespace sluice::loader::state::policy {
namespace {

void write(std::string& text, const std::string& word) {
  text += word;
  text += '\0';
}

void write(std::string& text, const kube::Labels& labels) {
  for (const auto& [key, value] : labels) {
    write(text, key);
    write(text, value);
  }
  text += '\1';
}

void add_blocks(Blocks& blocks, const std::vector<kube::PolicyRule>& rules) {
  for (const auto& rule : rules) {
    for (const auto& peer : rule.peers) {
      const auto* block = std::get_if<kube::IpBlock>(&peer);
      if (block == nullptr) continue;
      blocks.add(block->cidr);
      for (const Prefix& except : block->except) blocks.add(except);
    }
  }
}

void add_blocks(Blocks& blocks, const std::vector<kube::ClusterRule>& rules) {
  for (const auto& rule : rules)
    for (const auto& peer : rule.peers)
      if (const auto* networks = std::get_if<kube::ClusterNetworks>(&peer))
        for (const Prefix& cidr : networks->cidrs) blocks.add(cidr);
}

}  // namespace

std::uint32_t Subjects::class_of(const Prefix& prefix, const kube::Labels* node_labels, Numbering& numbers) {
  BlockSet around = blocks.around(prefix);
  if (around.empty() && node_labels == nullptr) return 0;
  const auto [found, fresh] = block_class_ids.try_emplace({around, node_labels}, 0);
  if (!fresh) return found->second;
  std::string content = "blocks";
  for (const std::uint32_t block : around) write(content, blocks.all()[block].text());
  content += '\1';
  if (node_labels != nullptr) write(content, *node_labels);
  found->second = numbers.classes.of(content);
  block_classes.push_back({found->second, std::move(around), node_labels});
  return found->second;
}

Subjects find_subjects(const Cluster& cluster, Numbering& numbers) {
  Subjects subjects;
  cluster.each<kube::Namespace>(
      [&](const kube::Object& object, const kube::Namespace&) { subjects.ns_labels[object.id.name] = object.labels; });
  std::map<std::uint32_t, std::size_t> by_id;
  cluster.each<kube::Pod>([&](const kube::Object& object, const kube::Pod& pod) {
    if (pod.host_network || pod.ended()) return;
    // A namespace whose object is not known has the label that every one has.
    const auto ns =
        subjects.ns_labels.try_emplace(object.id.ns, kube::Labels{{"kubernetes.io/metadata.name", object.id.ns}});
    std::string content = "pod";
    write(content, object.id.ns);
    write(content, ns.first->second);
    write(content, object.labels);
    for (const auto& port : pod.ports)
      if (!port.name.empty())
        write(content,
              port.name + '/' + std::to_string(static_cast<int>(port.protocol)) + '/' + std::to_string(port.port));
    const std::uint32_t id = numbers.classes.of(content);
    const auto [found, fresh] = by_id.try_emplace(id, subjects.pod_classes.size());
    if (fresh) subjects.pod_classes.push_back({id, object.id.ns, &object.labels, &ns.first->second, &pod.ports});
    subjects.pods[object.id] = found->second;
  });
  cluster.each<kube::NetworkPolicy>([&](const kube::Object&, const kube::NetworkPolicy& policy) {
    add_blocks(subjects.blocks, policy.ingress);
    add_blocks(subjects.blocks, policy.egress);
  });
  cluster.each<kube::ClusterPolicy>([&](const kube::Object&, const kube::ClusterPolicy& policy) {
    add_blocks(subjects.blocks, policy.ingress);
    add_blocks(subjects.blocks, policy.egress);
  });
  return subjects;
}

}  // namespace sluice::loader::state::policy
