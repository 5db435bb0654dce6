#include "loader/state/service/maglev.hpp"

#include <bit>

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

std::vector<std::uint32_t> maglev_table(const std::vector<std::string>& names) {
  if (names.empty()) return {};
  const std::uint32_t size = maglev_size(names.size());
  constexpr std::uint32_t kEmpty = UINT32_MAX;
  struct Order {
    std::uint32_t next, skip;
  };
  std::vector<Order> orders;
  for (const std::string& name : names)
    orders.push_back(
        {static_cast<std::uint32_t>(hash(name, 1) % size), static_cast<std::uint32_t>(hash(name, 2) % (size - 1) + 1)});
  std::vector<std::uint32_t> table(size, kEmpty);
  for (std::uint32_t filled = 0; filled < size;) {
    for (std::uint32_t backend = 0; backend < orders.size() && filled < size; backend++) {
      Order& order = orders[backend];
      while (table[order.next] != kEmpty) order.next = (order.next + order.skip) % size;
      table[order.next] = backend;
      filled++;
    }
  }
  return table;
}

}  // namespace sluice::loader::state::service
