#include "loader/state/service/maglev.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

namespace sluice::loader::state::service {
namespace {

bool is_prime(std::uint32_t number) {
  if (number < 2 || number % 2 == 0) return number == 2;
  for (std::uint32_t divisor = 3; divisor <= number / divisor; divisor += 2)
    if (number % divisor == 0) return false;
  return true;
}

// FNV-1a, then the finalizer of splitmix64: its bits are even enough for a permutation.
std::uint64_t hash(const std::string& text, std::uint64_t seed) {
  std::uint64_t value = 0xcbf29ce484222325 ^ seed;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return value ^ value >> 31;
}

}  // namespace

std::uint32_t maglev_size(std::size_t backends) {
  auto size = static_cast<std::uint32_t>(100 * std::bit_ceil(backends));
  while (!is_prime(size)) size++;
  return size;
}

std::vector<std::uint32_t> maglev_table(const std::vector<std::string>& names, const std::vector<unsigned>& weights) {
  if (names.empty()) return {};
  // Where weights are far apart, the small ones need slots to be told apart by; without an end they would need too
  // many.
  constexpr std::size_t kMostForWeights = 8;
  const auto sum = std::accumulate(weights.begin(), weights.end(), std::size_t{0});
  const std::uint32_t size = maglev_size(std::clamp(sum, names.size(), kMostForWeights * names.size()));
  const unsigned heaviest = weights.empty() ? 1 : *std::ranges::max_element(weights);
  constexpr std::uint32_t kEmpty = UINT32_MAX;
  struct Order {
    std::uint32_t next, skip;
    unsigned weight, turns = 0;  ///< turns: in parts of `heaviest`
  };
  std::vector<Order> orders;
  for (const std::string& name : names)
    orders.push_back({.next = static_cast<std::uint32_t>(hash(name, 1) % size),
                      .skip = static_cast<std::uint32_t>(hash(name, 2) % (size - 1) + 1),
                      .weight = weights.empty() ? 1 : weights[orders.size()]});
  std::vector<std::uint32_t> table(size, kEmpty);
  for (std::uint32_t filled = 0; filled < size;) {
    for (std::uint32_t backend = 0; backend < orders.size() && filled < size; backend++) {
      Order& order = orders[backend];
      order.turns += order.weight;
      if (order.turns < heaviest) continue;
      order.turns -= heaviest;
      while (table[order.next] != kEmpty) order.next = (order.next + order.skip) % size;
      table[order.next] = backend;
      filled++;
    }
  }
  return table;
}

}  // namespace sluice::loader::state::service
