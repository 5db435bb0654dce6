/// Numbers that stand for contents, in the maps: of classes, of sets of peers, of rule sets.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "maps/address.hpp"
#include "maps/bytes.hpp"
#include "maps/ipcache.h"
#include "maps/policy.h"
#include "maps/trie_key.hpp"

namespace sluice::loader::state::policy {

/// Equal content has one number, and keeps it until it is given back.
class Numbers {
 public:
  /// From `first` to below `end`, beginning behind `last`.
  Numbers(std::uint32_t first, std::uint32_t end, std::uint32_t last = 0)
      : first_(first), end_(end), next_(last >= first && last + 1 < end ? last + 1 : first) {}

  /// The content's number. A new one is `wish` where that is free. 0: none is left.
  std::uint32_t of(const std::string& content, std::uint32_t wish = 0);
  /// Gives back all others. Numbers go round, so that one comes again as late as possible.
  void keep_only(auto&& is_used) {
    std::erase_if(numbers_, [&](const auto& one) {
      if (is_used(one.second)) return false;
      taken_.erase(one.second);
      return true;
    });
  }
  [[nodiscard]] std::size_t size() const { return taken_.size(); }

 private:
  [[nodiscard]] bool is_free(std::uint32_t number) const {
    return number >= first_ && number < end_ && !taken_.contains(number);
  }

  std::uint32_t first_, end_, next_;
  std::map<std::string, std::uint32_t> numbers_;
  std::set<std::uint32_t> taken_;
};

/// The numbers of one node. They say nothing by themselves: whatever they are, a generation of policy uses the same
/// ones in all maps (maps/runtime.h). So it is for little writing alone that a restart goes on with those that are
/// there.
struct Numbering {
  Numbers classes{maps::IDENTITY_POD_FIRST, UINT32_MAX}, sets{1, UINT32_MAX}, policies{POLICY_INIT + 1, 65536};
  /// What the maps say of addresses, for classes that get their first number.
  maps::Table<maps::ipcache_key, maps::address_classes> known;

  [[nodiscard]] maps::address_classes known_of(const maps::ipcache_key& key) const {
    const auto found = known.find(key);
    return found != known.end() ? found->second : maps::address_classes{};
  }
  [[nodiscard]] maps::address_classes known_of(const Prefix& prefix) const {
    return known.empty() ? maps::address_classes{} : known_of(maps::ipcache_key_of(prefix));
  }
};

}  // namespace sluice::loader::state::policy
