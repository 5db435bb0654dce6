/// Address blocks with what is known of each, looked up as the kernel's trie does (maps/ipcache.h).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "maps/bytes.hpp"
#include "maps/ipcache.h"

namespace sluice::loader::state::policy {

template <typename Value>
class PrefixTable {
 public:
  using Key = maps::ipcache_key;

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
  /// What the longest block around this one has; null: it is in none. The block itself does not count.
  [[nodiscard]] const Value* around(Key key) const {
    for (unsigned length = key.prefix_len; length-- > 0;) {
      if (of_length_[length] == 0) continue;
      cut(key, length);
      if (const Value* found = find(key)) return found;
    }
    return nullptr;
  }
  [[nodiscard]] const maps::Table<Key, Value>& all() const { return all_; }

 private:
  static void cut(Key& key, unsigned length) {
    std::array<std::uint8_t, sizeof(key.word)> bytes;
    std::memcpy(bytes.data(), key.word, sizeof(key.word));
    for (unsigned bit = length; bit < key.prefix_len; bit++)
      bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] & ~(0x80U >> bit % 8));
    std::memcpy(key.word, bytes.data(), sizeof(key.word));
    key.prefix_len = length;
  }

  maps::Table<Key, Value> all_;
  std::array<std::size_t, 129> of_length_{};
};

}  // namespace sluice::loader::state::policy
