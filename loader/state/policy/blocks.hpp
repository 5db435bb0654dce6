/// The address blocks that policies name, and which of them contain an address. Policy judges an address by the set of
/// all blocks around it (its class, maps/ipcache.h), so overlapping blocks and `except` are exact.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "maps/address.hpp"

namespace sluice::loader::state::policy {

/// The numbers of blocks, rising.
using BlockSet = std::vector<std::uint32_t>;

class Blocks {
 public:
  /// Adds a block; host bits are dropped. Its number is the same for the same block.
  std::uint32_t add(const Prefix& block);
  /// nullopt: it was not added.
  [[nodiscard]] std::optional<std::uint32_t> find(const Prefix& block) const;
  /// Those that contain all of `prefix`, itself included where it is one. An IPv4 block contains no IPv6 address.
  [[nodiscard]] BlockSet around(const Prefix& prefix) const;
  [[nodiscard]] const std::vector<Prefix>& all() const { return all_; }

 private:
  std::vector<Prefix> all_;
  std::map<std::pair<Address, unsigned>, std::uint32_t> number_;
  std::set<unsigned> lengths_[2];  ///< that occur, of IPv6 and of IPv4
};

}  // namespace sluice::loader::state::policy
