#include "loader/state/service/ranges.hpp"

#include <iterator>

namespace sluice::loader::state::service {

std::optional<std::uint32_t> Ranges::take(std::uint32_t length) {
  if (length == 0) return 0;
  auto found = free_.lower_bound(cursor_);
  for (std::size_t looked = 0; looked < free_.size(); looked++) {
    if (found == free_.end()) found = free_.begin();
    if (found->second >= length) {
      const std::uint32_t first = found->first;
      (void)take_at(first, length);
      cursor_ = first + length;
      return first;
    }
    ++found;
  }
  return std::nullopt;
}

bool Ranges::take_at(std::uint32_t first, std::uint32_t length) {
  if (length == 0) return true;
  auto found = free_.upper_bound(first);
  if (found == free_.begin()) return false;
  --found;
  const std::uint32_t begin = found->first, end = begin + found->second;
  if (first < begin || first + length > end) return false;
  free_.erase(found);
  if (first > begin) free_[begin] = first - begin;
  if (first + length < end) free_[first + length] = end - first - length;
  return true;
}

void Ranges::give_back(std::uint32_t first, std::uint32_t length) {
  if (length == 0) return;
  const auto next = free_.lower_bound(first);
  if (next != free_.end() && next->first == first + length) {
    length += next->second;
    free_.erase(next);
  }
  const auto behind = free_.lower_bound(first);
  if (behind != free_.begin()) {
    const auto before = std::prev(behind);
    if (before->first + before->second == first) {
      before->second += length;
      return;
    }
  }
  free_[first] = length;
}

std::uint64_t Ranges::left() const {
  std::uint64_t sum = 0;
  for (const auto& [first, length] : free_) sum += length;
  return sum;
}

}  // namespace sluice::loader::state::service
