/* sockets: what the hooks of sockets have translated (bpf/lib/socket.h), for as long as the table has room: LRU hash, written
 * by the datapath.
 *
 * A socket that was given a backend in the place of a Service's address is told the Service's address when it asks whom it
 * is connected to, and where a datagram comes from (SOCKET_HEARS: key backend, value frontend). One that sends datagrams
 * without being connected stays with its backend (SOCKET_SENDS: key frontend, value backend). */
#ifndef SLUICE_MAPS_SOCKET_H
#define SLUICE_MAPS_SOCKET_H

#include "maps/types.h"

SLUICE_LAYOUTS_BEGIN

enum socket_direction {
	SOCKET_HEARS = 0,
	SOCKET_SENDS = 1,
};

/* sockets: key */
struct socket_key {
	__u64 cookie; /* the socket's, SO_COOKIE: never given to another */
	struct addr addr;
	be16 port;
	__u8 proto;     /* IPPROTO_* */
	__u8 direction; /* enum socket_direction */
	__u8 pad[4];
};
static_assert(sizeof(struct socket_key) == 32, "struct socket_key is map ABI");

/* sockets: value. Who is at the other side of the translation. */
struct socket_peer {
	struct addr addr;
	be16 port;
	__u8 pad[6];
	__u32 service; /* struct service.id */
	__u32 backend; /* index into backends that was chosen; the service knows if it still serves */
};
static_assert(sizeof(struct socket_peer) == 32, "struct socket_peer is map ABI");

SLUICE_LAYOUTS_END

#endif
