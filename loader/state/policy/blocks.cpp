#include "loader/state/policy/blocks.hpp"

#include <algorithm>

namespace sluice::loader::state::policy {

std::uint32_t Blocks::add(const Prefix& block) {
  const Address first = block.first();
  const auto [found, fresh] = number_.try_emplace({first, block.length}, static_cast<std::uint32_t>(all_.size()));
  if (fresh) {
    all_.push_back({first, block.length});
    lengths_[first.is_v4() ? 1 : 0].insert(block.length);
  }
  return found->second;
}

std::optional<std::uint32_t> Blocks::find(const Prefix& block) const {
  const auto found = number_.find({block.first(), block.length});
  return found != number_.end() ? std::optional(found->second) : std::nullopt;
}

BlockSet Blocks::around(const Prefix& prefix) const {
  BlockSet found;
  for (const unsigned length : lengths_[prefix.address.is_v4() ? 1 : 0]) {
    if (length > prefix.length) break;
    const auto known = number_.find({Prefix{prefix.address, length}.first(), length});
    if (known != number_.end()) found.push_back(known->second);
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace sluice::loader::state::policy
