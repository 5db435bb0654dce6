/// Address blocks with what is known of each, looked up as the kernel's trie does (maps/ipcache.h).
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <map>

#include "maps/bytes.hpp"
#include "maps/ipcache.h"

namespace sluice::loader::state::policy {

/// The 128 bits of a block's address, as a number.
inline unsigned __int128 number_of(const maps::ipcache_key& key) {
  std::uint64_t high = 0, low = 0;
  std::memcpy(&high, key.word, sizeof(high));
  std::memcpy(&low, key.word + 2, sizeof(low));
  if constexpr (std::endian::native == std::endian::little) {
    high = __builtin_bswap64(high);
    low = __builtin_bswap64(low);
  }
  return static_cast<unsigned __int128>(high) << 64 | low;
}

/// An order of blocks: larger ones first, then by address.
struct LargerFirst {
  bool operator()(const maps::ipcache_key& one, const maps::ipcache_key& other) const {
    if (one.prefix_len != other.prefix_len) return one.prefix_len < other.prefix_len;
    return number_of(one) < number_of(other);
  }
};

template <typename Value>
class PrefixTable {
 public:
  using Key = maps::ipcache_key;
  using Elements = std::map<Key, Value, LargerFirst>;

  /// A new one with nothing in it where there is none.
  Value& operator[](const Key& key) {
    const auto [found, fresh] = all_.try_emplace(key);
    if (fresh) of_length_[key.prefix_len]++;
    return found->second;
  }
  void erase(const Key& key) {
    if (all_.erase(key) > 0) of_length_[key.prefix_len]--;
  }
  [[nodiscard]] const Value* find(const Key& key) const {
    const auto found = all_.find(key);
    return found != all_.end() ? &found->second : nullptr;
  }
  [[nodiscard]] Value* find(const Key& key) {
    const auto found = all_.find(key);
    return found != all_.end() ? &found->second : nullptr;
  }
  /// What the longest block around this one has; null: it is in none. The block itself does not count.
  [[nodiscard]] const Value* around(const Key& key) const {
    for (unsigned length = key.prefix_len; length-- > 0;) {
      if (of_length_[length] == 0) continue;
      if (const Value* found = find(cut(key, length))) return found;
    }
    return nullptr;
  }
  /// Calls `work(block, value)` for all blocks around this one and for itself, the largest first. An IPv6 block is
  /// around no IPv4 address, though the trie's bits would have it so.
  void each_around(const Key& key, auto&& work) const {
    for (unsigned length = is_v4(key) ? kV4First : 0; length <= key.prefix_len; length++) {
      if (of_length_[length] == 0) continue;
      const Key around = cut(key, length);
      if (const Value* found = find(around)) work(around, *found);
    }
  }
  /// Calls `work(block)` for each block in this one, itself included.
  void each_inside(const Key& key, auto&& work) const {
    for (unsigned length = key.prefix_len; length < of_length_.size(); length++) {
      if (of_length_[length] == 0) continue;
      Key first = key;
      first.prefix_len = length;
      for (auto one = all_.lower_bound(first); one != all_.end() && one->first.prefix_len == length; ++one) {
        if (!maps::same_bytes(cut(one->first, key.prefix_len), key)) break;
        work(one->first);
      }
    }
  }
  [[nodiscard]] const Elements& all() const { return all_; }

 private:
  static constexpr unsigned kV4First = 96;  ///< the length of ::ffff:0:0/96, in which IPv4 lies

  static bool is_v4(const Key& key) {
    return key.prefix_len >= kV4First && key.word[0].wire == 0 && key.word[1].wire == 0 &&
           key.word[2] == maps::be32::from_host(0xffff);
  }

  /// The block of this length that the key is in.
  static Key cut(const Key& key, unsigned length) {
    Key block{length, {}};
    for (unsigned word = 0; word * 32 < length; word++) {
      const unsigned bits = length - word * 32;
      const std::uint32_t mask = bits >= 32 ? ~0U : ~(~0U >> bits);
      block.word[word].wire = key.word[word].wire & maps::be32::from_host(mask).wire;
    }
    return block;
  }

  Elements all_;
  std::array<std::size_t, 129> of_length_{};
};

}  // namespace sluice::loader::state::policy
