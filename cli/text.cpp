#include "cli/text.hpp"

#include <fmt/core.h>

#include <array>

namespace sluice::cli {

std::string bytes_text(std::uint64_t bytes) {
  constexpr std::array kUnits = {"kB", "MB", "GB", "TB", "PB"};
  if (bytes < 1000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1000;
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    unit++;
  }
  return value < 9.95 ? fmt::format("{:.1f} {}", value, kUnits[unit]) : fmt::format("{:.0f} {}", value, kUnits[unit]);
}

std::string duration_text(std::chrono::nanoseconds duration) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  constexpr long kMinute = 60, kHour = 3600, kDay = 86400;
  const auto two = [&](long large, char large_unit, long small, char small_unit) {
    const long rest = seconds % large / small;
    return rest == 0 ? fmt::format("{}{}", seconds / large, large_unit)
                     : fmt::format("{}{}{}{}", seconds / large, large_unit, rest, small_unit);
  };
  if (seconds < kMinute) return fmt::format("{}s", seconds);
  if (seconds < kHour) return two(kMinute, 'm', 1, 's');
  if (seconds < kDay) return two(kHour, 'h', kMinute, 'm');
  return two(kDay, 'd', kHour, 'h');
}

std::string rate_text(double per_second) {
  return per_second == 0    ? "0"
         : per_second < 100 ? fmt::format("{:.1f}", per_second)
                            : fmt::format("{:.0f}", per_second);
}

std::string end_text(const loader::observe::FlowEnd& end) {
  if (end.port == 0) return end.address.text();
  return end.address.is_v4() ? fmt::format("{}:{}", end.address.text(), end.port)
                             : fmt::format("[{}]:{}", end.address.text(), end.port);
}

}  // namespace sluice::cli
