#include "loader/state/policy/addresses.hpp"

#include <algorithm>
#include <iterator>
#include <tuple>

#include "maps/trie_key.hpp"

namespace sluice::loader::state::policy {
namespace {

void write(std::string& text, const std::string& word) {
  text += word;
  text += '\0';
}

std::string content_of(const std::vector<maps::ipcache_key>& around, const kube::Labels* node_labels) {
  std::string content = "blocks";
  for (const auto& block : around) content.append(reinterpret_cast<const char*>(&block), sizeof(block));
  content += '\1';
  if (node_labels != nullptr) {
    for (const auto& [key, value] : *node_labels) {
      write(content, key);
      write(content, value);
    }
  }
  return content;
}

/// Calls `gone` for what only `before` has and `come` for what only `now` has; both are sorted.
void compare(const auto& before, const auto& now, auto&& less, auto&& gone, auto&& come) {
  auto old = before.begin();
  auto fresh = now.begin();
  while (old != before.end() || fresh != now.end()) {
    if (fresh == now.end() || (old != before.end() && less(*old, *fresh)))
      gone(*old++);
    else if (old == before.end() || less(*fresh, *old))
      come(*fresh++);
    else
      ++old, ++fresh;
  }
}

}  // namespace

bool Addresses::Claim::operator<(const Claim& other) const {
  if (!maps::same_bytes(key, other.key)) return LargerFirst()(key, other.key);
  if (by != other.by) return by < other.by;
  return object != nullptr && other.object != nullptr && object->id < other.object->id;
}

Addresses::Addresses(std::uint64_t former) : version_(former + 1) {
  // IPv4 is ::ffff:0:0/96 to the trie: without an entry of its own it would be in ::/0.
  put({maps::ipcache_key_of({Address::parse("0.0.0.0").value_or({}), 0}), Claim::By::kFamily, nullptr});
}

void Addresses::take(AddressSources now, const SubjectChanges& pods, Numbering& numbers) {
  classes_changed_ = node_classes_changed_ = false;
  changed_blocks_.clear();
  for (const PodChange& pod : pods.pods) {
    if (pod.before) put_pod(pod.before, 0, now.node, false);
    if (pod.now) put_pod(pod.now, pod.class_now, now.node, true);
  }
  if (now.plan.prefixes != plan_.prefixes) take_plan(now.plan);
  take_nodes(now.nodes, now.node);
  const bool blocks = take_blocks(now.blocks);
  std::ranges::sort(touched_, LargerFirst());
  const auto twice = std::ranges::unique(touched_, [](const Key& a, const Key& b) { return maps::same_bytes(a, b); });
  touched_.erase(twice.begin(), twice.end());
  std::vector<Key> former = std::exchange(changes_, {});
  for (const Key& key : touched_) settle(key, numbers);
  touched_.clear();
  if (changes_.empty())
    changes_ = std::move(former);
  else
    version_++;
  if (blocks || now.local != local_addresses_) take_local(now.local, numbers);
  drop_empty();
  plan_ = std::move(now.plan);
  nodes_ = std::move(now.nodes);
  named_ = std::move(now.blocks);
  local_addresses_ = std::move(now.local);
}

// ---- who says what ----

void Addresses::put(Claim claim) {
  touched_.push_back(claim.key);
  claims_.insert(std::move(claim));
}

void Addresses::drop(const Claim& claim) {
  touched_.push_back(claim.key);
  claims_.erase(claim);
}

void Addresses::put_pod(const kube::ObjectPtr& object, std::uint32_t identity, const std::string& node, bool there) {
  const auto& pod = std::get<kube::Pod>(object->body);
  if (pod.node_name == node) return;
  for (const Address& address : pod.ips) {
    Claim claim{maps::ipcache_key_of(Prefix::host(address)), Claim::By::kPod, object, identity};
    there ? put(std::move(claim)) : drop(claim);
  }
}

void Addresses::put_node(const kube::ObjectPtr& object, const std::string& node, bool there) {
  const std::uint32_t identity = object->id.name == node ? maps::IDENTITY_HOST : maps::IDENTITY_REMOTE_NODE;
  const auto& body = std::get<kube::Node>(object->body);
  for (const auto* list : {&body.internal_addresses, &body.external_addresses}) {
    for (const Address& address : *list) {
      Claim claim{maps::ipcache_key_of(Prefix::host(address)), Claim::By::kNode, object, identity};
      there ? put(std::move(claim)) : drop(claim);
    }
  }
}

void Addresses::take_nodes(const std::vector<kube::ObjectPtr>& nodes, const std::string& node) {
  const auto less = [](const kube::ObjectPtr& a, const kube::ObjectPtr& b) {
    return std::tie(a->id, a) < std::tie(b->id, b);
  };
  std::vector<kube::ObjectPtr> fresh;
  compare(
      nodes_, nodes, less, [&](const auto& object) { put_node(object, node, false); },
      [&](const auto& object) { fresh.push_back(object); });
  for (const auto& object : fresh) put_node(object, node, true);
}

/// A changed plan is one of nodes that came or went: everything is looked at.
void Addresses::take_plan(const NodePlan& plan) {
  for (const auto& [prefix, owner] : plan_.prefixes) drop({maps::ipcache_key_of(prefix), Claim::By::kPlan, nullptr});
  behind_ = {};
  for (const auto& [prefix, owner] : plan.prefixes) {
    const Key key = maps::ipcache_key_of(prefix);
    behind_[key] = owner.node;
    drop({key, Claim::By::kPlan, nullptr});
    put({key, Claim::By::kPlan, nullptr, owner.identity});
  }
  for (const Claim& claim : claims_) touched_.push_back(claim.key);
}

/// True: they are others than before.
bool Addresses::take_blocks(const std::vector<Key>& blocks) {
  bool differs = false;
  const auto touch = [&](const Key& block) {
    differs = true;
    ipcache_.each_inside(block, [&](const Key& key) { touched_.push_back(key); });
  };
  compare(
      named_, blocks, LargerFirst(),
      [&](const Key& block) {
        touch(block);
        in_block_.erase(*blocks_.find(block));
        blocks_.erase(block);
        drop({block, Claim::By::kBlock, nullptr});
      },
      [&](const Key& block) {
        touch(block);
        blocks_[block] = next_block_++;
        put({block, Claim::By::kBlock, nullptr});
      });
  return differs;
}

void Addresses::take_local(const std::vector<Address>& local, Numbering& numbers) {
  const auto former = std::exchange(local_, {});
  for (const Address& address : local)
    if (const auto [one, fresh] = local_.try_emplace(address, 0); fresh)
      one->second = enter(maps::ipcache_key_of(Prefix::host(address)), nullptr, numbers);
  for (const auto& [address, id] : former) leave(id);
}

// ---- what follows from it ----

void Addresses::settle(const Key& key, Numbering& numbers) {
  const auto end = claims_.upper_bound({key, Claim::By::kNode, nullptr});  // null is behind no node, and before none
  const auto last = end != claims_.begin() ? std::prev(end) : end;
  AddressEntry* before = ipcache_.find(key);
  if (last == claims_.end() || !maps::same_bytes(last->key, key)) {
    if (before == nullptr) return;
    leave(before->classes.blocks);
    ipcache_.erase(key);
    changes_.push_back(key);
    return;
  }
  const kube::Labels* node_labels = last->by == Claim::By::kNode ? &last->object->labels : nullptr;
  const AddressEntry now{{last->identity, enter(key, node_labels, numbers)}, node_of(key)};
  if (before != nullptr) leave(before->classes.blocks);
  if (before != nullptr && maps::same_bytes(*before, now)) return;
  (before != nullptr ? *before : ipcache_[key]) = now;
  changes_.push_back(key);
}

/// The class of an address or block, made where it is new, with one member more; 0: in no block, and no node's.
std::uint32_t Addresses::enter(const Key& key, const kube::Labels* node_labels, Numbering& numbers) {
  Where where;
  blocks_.each_around(key, [&](const Key&, std::uint32_t block) { where.first.push_back(block); });
  if (where.first.empty() && node_labels == nullptr) return 0;
  if (node_labels != nullptr) where.second = *node_labels;
  const auto [found, fresh] = class_ids_.try_emplace(std::move(where), 0);
  if (fresh) {
    std::vector<Key> around;
    blocks_.each_around(key, [&](const Key& block, std::uint32_t) { around.push_back(block); });
    const std::uint32_t id = numbers.classes.of(content_of(around, node_labels), numbers.known_of(key).blocks);
    found->second = id;
    classes_[id] = {id, found->first.first, found->first.second, 0};
    for (const std::uint32_t block : found->first.first) in_block_[block].insert(id);
    note_change_of(classes_[id]);
  }
  classes_[found->second].members++;
  return found->second;
}

void Addresses::leave(std::uint32_t id) {
  if (id != 0 && --classes_[id].members == 0) empty_.insert(id);
}

void Addresses::drop_empty() {
  for (const std::uint32_t id : std::exchange(empty_, {})) {
    const auto one = classes_.find(id);
    if (one->second.members > 0) continue;
    for (const std::uint32_t block : one->second.blocks)
      if (const auto in = in_block_.find(block); in != in_block_.end()) in->second.erase(id);
    note_change_of(one->second);
    class_ids_.erase({one->second.blocks, one->second.node_labels});
    classes_.erase(one);
  }
}

void Addresses::note_change_of(const BlockClass& one) {
  classes_changed_ = true;
  node_classes_changed_ |= one.node_labels.has_value();
  changed_blocks_.insert(one.blocks.begin(), one.blocks.end());
}

std::uint32_t Addresses::node_of(const Key& key) const {
  std::uint32_t node = 0;
  behind_.each_around(key, [&](const Key&, std::uint32_t one) { node = one; });
  return node;
}

// ---- questions ----

std::uint32_t Addresses::class_of_local(const Address& address) const {
  const auto found = local_.find(address);
  return found != local_.end() ? found->second : 0;
}

bool Addresses::classes_changed_in(const Prefix& block) const {
  if (changed_blocks_.empty()) return false;
  const auto* number = blocks_.find(maps::ipcache_key_of(block));
  return number != nullptr && changed_blocks_.contains(*number);
}

std::vector<std::uint32_t> Addresses::classes_in(const Prefix& cidr, const std::vector<Prefix>& except) const {
  std::vector<std::uint32_t> out, found;
  for (const Prefix& block : except)
    if (const auto* number = blocks_.find(maps::ipcache_key_of(block))) out.push_back(*number);
  const auto* wanted = blocks_.find(maps::ipcache_key_of(cidr));
  const auto in = wanted != nullptr ? in_block_.find(*wanted) : in_block_.end();
  if (in == in_block_.end()) return found;
  for (const std::uint32_t id : in->second) {
    const BlockSet& blocks = classes_.at(id).blocks;
    if (std::ranges::find_first_of(blocks, out) == blocks.end()) found.push_back(id);
  }
  return found;
}

}  // namespace sluice::loader::state::policy
