/// Protocols and ports as Kubernetes' objects have them. Port numbers are in host byte order.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <string>

namespace sluice::loader::kube {

/// The values are IPPROTO_*.
enum class Protocol : std::uint8_t { kTcp = IPPROTO_TCP, kUdp = IPPROTO_UDP, kSctp = IPPROTO_SCTP };

[[nodiscard]] constexpr const char* text(Protocol protocol) {
  return protocol == Protocol::kTcp ? "TCP" : protocol == Protocol::kUdp ? "UDP" : "SCTP";
}

/// A port by number, or by the name that a container gives it.
struct PortRef {
  std::uint16_t number = 0;  ///< 1..65535; 0: by name
  std::string name;

  [[nodiscard]] std::string text() const { return number != 0 ? std::to_string(number) : name; }
  bool operator==(const PortRef&) const = default;
};

}  // namespace sluice::loader::kube
