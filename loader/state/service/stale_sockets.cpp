#include "loader/state/service/stale_sockets.hpp"

#include <netinet/in.h>

#include "loader/net/socket_diag.hpp"
#include "maps/address.hpp"
#include "maps/views.hpp"

namespace sluice::loader::state::service {

Result<std::size_t> end_stale_sockets(const Root& root) {
  const auto sockets = TRY(maps::open<maps::Sockets>(root.maps()));
  const auto backends = TRY(maps::open<maps::Backends>(root.maps()));
  std::size_t ended = 0;
  for (const net::UdpSocket& socket : TRY(net::connected_udp_sockets())) {
    maps::socket_key key{};
    key.cookie = socket.cookie;
    key.addr = socket.peer.wire();
    key.port = maps::be16::from_host(socket.peer_port);
    key.proto = IPPROTO_UDP;
    key.direction = maps::SOCKET_HEARS;
    const auto asked = TRY(sockets.lookup(key));
    if (!asked) continue;
    const auto backend = TRY(backends.lookup(asked->backend));
    const bool serves = backend && backend->state != maps::BACKEND_GONE && backend->service == asked->service &&
                        backend->port == key.port && Address(backend->addr) == socket.peer;
    if (!serves) ended += TRY(net::end_udp_socket(socket)) ? 1 : 0;
  }
  return ended;
}

}  // namespace sluice::loader::state::service
