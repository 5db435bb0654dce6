/// Values in the form that people read at a glance.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "loader/observe/flows.hpp"

namespace sluice::cli {

/// "812 B", "1.2 kB", "34 MB": powers of 1000.
std::string bytes_text(std::uint64_t bytes);
/// "0s", "42s", "3m5s", "2h10m", "5d3h".
std::string duration_text(std::chrono::nanoseconds duration);
/// "12.5", "1200": a rate, without noise behind the point.
std::string rate_text(double per_second);
/// "10.0.0.5:80", "[fd00::5]:80"; without a port "10.0.0.5", "fd00::5".
std::string end_text(const loader::observe::FlowEnd& end);

}  // namespace sluice::cli
