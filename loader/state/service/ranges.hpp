/// Rows of numbers given out from a bounded space, as the arrays of the datapath are filled: next-fit, so that what is
/// given back is used again as late as can be, when no packet can still be at it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace sluice::loader::state::service {

class Ranges {
 public:
  /// The numbers from `first` up to and without `end`.
  Ranges(std::uint32_t first, std::uint32_t end) : cursor_(first) {
    if (first < end) free_[first] = end - first;
  }

  /// nullopt: there is no row of this length. Length 0 is 0.
  std::optional<std::uint32_t> take(std::uint32_t length);
  /// False: a part of it is taken already.
  bool take_at(std::uint32_t first, std::uint32_t length);
  void give_back(std::uint32_t first, std::uint32_t length);
  [[nodiscard]] std::uint64_t left() const;

 private:
  std::map<std::uint32_t, std::uint32_t> free_;  ///< first -> length
  std::uint32_t cursor_;
};

}  // namespace sluice::loader::state::service
