#include "maps/trie_key.hpp"

#include <cstring>

namespace sluice::maps {
namespace {

/// Fills the address of a key and returns the length of its prefix.
template <typename Words>
std::uint32_t fill(Words& words, const Prefix& block) {
  const Address first = block.first();
  static_assert(sizeof(words) == sizeof(addr));
  std::memcpy(words, first.wire().word, sizeof(words));
  return block.length + (first.is_v4() ? 96 : 0);
}

}  // namespace

ipcache_key ipcache_key_of(const Prefix& block) {
  ipcache_key key{};
  key.prefix_len = fill(key.word, block);
  return key;
}

denied_key denied_key_of(const Prefix& block) {
  denied_key key{};
  key.prefix_len = fill(key.word, block);
  return key;
}

source_range_key source_range_key_of(std::uint32_t service, const Prefix& block) {
  source_range_key key{};
  key.service = service;
  key.prefix_len = 8 * sizeof(key.service) + fill(key.word, block);
  return key;
}

}  // namespace sluice::maps
