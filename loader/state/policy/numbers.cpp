#include "loader/state/policy/numbers.hpp"

namespace sluice::loader::state::policy {

std::uint32_t Numbers::of(const std::string& content, std::uint32_t wish) {
  const auto known = numbers_.find(content);
  if (known != numbers_.end()) return known->second;
  if (taken_.size() >= end_ - first_) return 0;
  std::uint32_t number = wish;
  while (!is_free(number)) {
    number = next_;
    next_ = next_ + 1 < end_ ? next_ + 1 : first_;
  }
  taken_.insert(number);
  return numbers_[content] = number;
}

}  // namespace sluice::loader::state::policy
