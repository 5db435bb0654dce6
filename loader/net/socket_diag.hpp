/// Sockets of the calling thread's network namespace, as sock_diag(7) shows them, and their end.
#pragma once

#include <cstdint>
#include <vector>

#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader::net {

struct UdpSocket {
  Address own, peer;
  std::uint16_t own_port = 0, peer_port = 0;
  int ifindex = 0;           ///< of the device that it is bound to; 0: none
  std::uint64_t cookie = 0;  ///< SO_COOKIE
  bool v4 = false;           ///< an IPv4 socket; an IPv6 one may have IPv4 addresses, too
};

/// UDP sockets of both families that have one correspondent.
Result<std::vector<UdpSocket>> connected_udp_sockets();

/// Ends a socket: who waits for a datagram is told ECONNABORTED, and it has no correspondent any more (a send without
/// an address fails with EDESTADDRREQ). False: it is gone. EOPNOTSUPP: the kernel cannot (CONFIG_INET_DIAG_DESTROY).
Result<bool> end_udp_socket(const UdpSocket& socket);

}  // namespace sluice::loader::net
