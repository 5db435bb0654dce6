/// A packet as a frame, for programs to be tried on.
#pragma once

#include <cstdint>
#include <vector>

#include "maps/address.hpp"

namespace sluice::loader::observe {

struct FrameSpec {
  Mac from, to;
  Address source, destination;  ///< of one family
  std::uint8_t proto = 0;       ///< IPPROTO_*; for ICMP and ICMPv6 an echo request with `source_port` as its identifier
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint8_t tcp_flags = 0;
  std::uint8_t ttl = 64;
  bool dont_fragment = true;  ///< IPv4
  unsigned size = 0;          ///< from the IP header on, in bytes; never less than the headers take
};

/// Checksums are left 0: no program looks at one.
std::vector<std::uint8_t> frame(const FrameSpec& spec);

}  // namespace sluice::loader::observe
