/// Both families as a table: what holds for one holds for the other.
#pragma once

#include <string>
#include <string_view>

namespace sluice::test {

struct Family {
  std::string_view name;
  const char* web;    ///< a pod's address
  const char* db;     ///< another pod's, of the same node
  const char* world;  ///< an address that is no pod's
  const char* host;   ///< the node's own, as in Settings::icmp_source_*
  bool v4;

  /// "10.0.0.5:53", or "[fd00::5]:53".
  [[nodiscard]] std::string at(const char* address, int port) const {
    return (v4 ? std::string(address) : "[" + std::string(address) + "]") + ":" + std::to_string(port);
  }
};

inline constexpr Family kFamilies[] = {
    {"IPv4", "10.0.0.5", "10.0.0.6", "198.51.100.9", "192.0.2.1", true},
    {"IPv6", "fd00::5", "fd00::6", "2001:db8:9::9", "2001:db8::1", false},
};

}  // namespace sluice::test
