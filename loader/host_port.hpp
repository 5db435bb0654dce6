/// A port of the node that leads to one of a pod (CNI CONVENTIONS.md, "portMappings").
#pragma once

#include <cstdint>
#include <optional>

#include "maps/address.hpp"

namespace sluice::loader {

struct HostPort {
  std::uint8_t proto = 0;          ///< IPPROTO_TCP, _UDP or _SCTP
  std::optional<Address> host_ip;  ///< nullopt: every address of the node
  std::uint16_t host_port = 0;
  std::uint16_t container_port = 0;
  bool operator==(const HostPort&) const = default;
};

}  // namespace sluice::loader
