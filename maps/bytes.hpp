/// Keys and values of maps, compared by their bytes: they have no padding (maps/map.hpp asserts it of keys), and unions
/// and packed words in them have no order of their own.
#pragma once

#include <cstring>
#include <map>
#include <set>

namespace sluice::maps {

template <typename T>
bool same_bytes(const T& one, const T& other) {
  return std::memcmp(&one, &other, sizeof(T)) == 0;
}

struct ByBytes {
  template <typename T>
  bool operator()(const T& one, const T& other) const {
    return std::memcmp(&one, &other, sizeof(T)) < 0;
  }
};

/// What a map holds, or is to hold.
template <typename Key, typename Value>
using Table = std::map<Key, Value, ByBytes>;
template <typename Key>
using KeySet = std::set<Key, ByBytes>;

}  // namespace sluice::maps
