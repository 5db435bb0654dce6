#include "loader/state/policy/addresses.hpp"

#include <algorithm>

#include "maps/trie_key.hpp"

namespace sluice::loader::state::policy {
namespace {

void write(std::string& text, const std::string& word) {
  text += word;
  text += '\0';
}

}  // namespace

Addresses::Addresses(const AddressSources& sources, Numbering& numbers) : numbers_(numbers) {
  // IPv4 is ::ffff:0:0/96 to the trie: without an entry of its own it would be in ::/0.
  std::vector<Prefix> blocks{{Address::parse("0.0.0.0").value_or({}), 0}};
  for (const Prefix& block : sources.blocks) {
    blocks_.add(block);
    blocks.push_back(block);
  }
  in_block_.resize(blocks_.all().size());
  for (const auto& [prefix, owner] : sources.plan.prefixes)
    nodes_[prefix.address.is_v4() ? 1 : 0][maps::ipcache_key_of(prefix)] = owner.node;

  // Whoever has an address writes over what is known of it as of a block.
  struct Holder {
    Prefix prefix;
    std::uint32_t identity;
    const kube::Labels* node_labels;
  };
  maps::Table<maps::ipcache_key, Holder> holders;
  const auto put = [&](const Prefix& prefix, std::uint32_t identity, const kube::Labels* node_labels) {
    holders[maps::ipcache_key_of(prefix)] = {prefix, identity, node_labels};
  };
  for (const Prefix& block : blocks) put(block, maps::IDENTITY_WORLD, nullptr);
  for (const auto& [prefix, owner] : sources.plan.prefixes) put(prefix, owner.identity, nullptr);
  sources.subjects.each([&](const kube::Pod& pod, const PodClass& in) {
    if (pod.node_name == sources.node) return;
    for (const Address& address : pod.ips) put(Prefix::host(address), in.id, nullptr);
  });
  sources.cluster.each<kube::Node>([&](const kube::Object& object, const kube::Node& node) {
    const std::uint32_t identity = object.id.name == sources.node ? maps::IDENTITY_HOST : maps::IDENTITY_REMOTE_NODE;
    for (const auto* list : {&node.internal_addresses, &node.external_addresses})
      for (const Address& address : *list) put(Prefix::host(address), identity, &object.labels);
  });
  for (const auto& [key, holder] : holders) {
    const std::uint32_t wish = numbers_.known_of(holder.prefix).blocks;
    ipcache_[key] = {{holder.identity, class_of(holder.prefix, holder.node_labels, wish)}, node_of(holder.prefix)};
  }
  for (const Address& address : sources.local)
    local_[address] = class_of(Prefix::host(address), nullptr, numbers_.known_of(Prefix::host(address)).blocks);
}

/// The class of an address, made where it is new; 0: in no block, and no node's.
std::uint32_t Addresses::class_of(const Prefix& prefix, const kube::Labels* node_labels, std::uint32_t wish) {
  BlockSet around = blocks_.around(prefix);
  if (around.empty() && node_labels == nullptr) return 0;
  const auto [found, fresh] = class_ids_.try_emplace({around, node_labels}, 0);
  if (!fresh) return found->second;
  std::string content = "blocks";
  for (const std::uint32_t block : around) write(content, blocks_.all()[block].text());
  content += '\1';
  if (node_labels != nullptr) {
    for (const auto& [key, value] : *node_labels) {
      write(content, key);
      write(content, value);
    }
  }
  found->second = numbers_.classes.of(content, wish);
  for (const std::uint32_t block : around) in_block_[block].push_back(classes_.size());
  classes_.push_back({found->second, std::move(around), node_labels});
  return found->second;
}

std::uint32_t Addresses::node_of(const Prefix& prefix) const {
  const auto& nodes = nodes_[prefix.address.is_v4() ? 1 : 0];
  if (nodes.all().empty()) return 0;
  const auto key = maps::ipcache_key_of(prefix);
  const auto* node = nodes.find(key);
  if (node == nullptr) node = nodes.around(key);
  return node != nullptr ? *node : 0;
}

std::uint32_t Addresses::class_of_local(const Address& address) const {
  const auto found = local_.find(address);
  return found != local_.end() ? found->second : 0;
}

std::vector<std::uint32_t> Addresses::classes_in(const Prefix& cidr, const std::vector<Prefix>& except) const {
  const auto block_of = [&](const Prefix& block) { return blocks_.find(block); };
  std::vector<std::uint32_t> out;
  for (const Prefix& block : except)
    if (const auto number = block_of(block)) out.push_back(*number);
  std::vector<std::uint32_t> found;
  const auto wanted = block_of(cidr);
  if (!wanted) return found;
  for (const std::size_t i : in_block_[*wanted]) {
    const BlockClass& one = classes_[i];
    if (std::ranges::none_of(out, [&](std::uint32_t block) { return std::ranges::binary_search(one.blocks, block); }))
      found.push_back(one.id);
  }
  return found;
}

bool Addresses::same_classes(const Addresses& other) const {
  return std::ranges::equal(classes_, other.classes_, [](const BlockClass& a, const BlockClass& b) {
    return a.id == b.id && (a.node_labels == nullptr) == (b.node_labels == nullptr);
  });
}

}  // namespace sluice::loader::state::policy
