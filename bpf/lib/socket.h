/* Services for sockets: a call that names a Service's address is given a backend in its place, once, and no packet of the
 * connection has to be translated after that. Reads what lib/service.h reads; reads and writes `sockets` (maps/socket.h).
 *
 * Sockets of the node's own network namespace have no other way to a Service. A pod's packets are looked at on their way
 * (from_pod), so that its sockets need this for speed alone, and some are better left to that:
 *   - datagrams, which cost the packet's way no lookup more, and which leave there a backend that no longer serves, when
 *     a connected socket could not;
 *   - Services that ask who the client is (source ranges, affinity): a socket that connects has no address yet;
 *   - what is to be refused, which is told to the sender and to observers there. */
#ifndef SLUICE_BPF_SOCKET_H
#define SLUICE_BPF_SOCKET_H

#include "lib/common.h"
#include "lib/metrics.h"
#include "lib/runtime.h"
#include "lib/service.h"
#include "maps/socket.h"

#define ECONNREFUSED 111
#define EHOSTUNREACH 113

/* The node's own network namespace (SO_NETNS_COOKIE). */
const volatile __u64 cfg_netns_cookie = 0;

/* max_entries is the default; the loader sets the configured one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct socket_key);
	__type(value, struct socket_peer);
} sockets SEC(".maps");

/* What a program of these hooks returns. */
#define SOCKET_REFUSE  0
#define SOCKET_PROCEED 1

/* The address that a call names. */
struct socket_end {
	struct addr addr;
	be16 port;
};

static __always_inline bool socket_is_of_node(struct bpf_sock_addr *ctx)
{
	return bpf_get_netns_cookie(ctx) == cfg_netns_cookie;
}

/* 127.0.0.0/8 (RFC 1122, 3.2.1.3) and ::1 (RFC 4291, 2.5.3). */
static __always_inline bool addr_is_loopback(const struct addr *address)
{
	if (addr_is_v4(address))
		return bpf_ntohl(address->word[3]) >> 24 == 127;
	return !address->word[0] && !address->word[1] && !address->word[2] && address->word[3] == bpf_htonl(1);
}

/* A node port is at all of the node's own addresses, which the loopback ones are for its own sockets. */
static __always_inline const struct service *service_at_loopback(struct service_request *request)
{
	const struct service *service;

	node_address_copy(&request->addr, addr_is_v4(&request->addr));
	service = service_find(&request->addr, request->port, request->proto);
	return service && (service->flags & SERVICE_NODE_PORT) ? service : NULL;
}

/* The Service that a socket of the node asks for. NULL: none, and `*err` says whether nobody has a right to the address. */
static __always_inline const struct service *service_for_node(struct service_request *request, int *err)
{
	const struct service *service = service_find(&request->addr, request->port, request->proto);

	if (service)
		return service;
	if (addr_is_loopback(&request->addr))
		return service_at_loopback(request);
	if (service_find(&request->addr, 0, 0))
		*err = -DROP_NO_BACKEND;
	return NULL;
}

/* The Service that a pod's socket asks for, unless the packets are the better place to balance it. */
static __always_inline const struct service *service_for_pod(const struct service_request *request)
{
	const struct service *service;

	if (request->proto != IPPROTO_TCP)
		return NULL;
	service = service_find(&request->addr, request->port, request->proto);
	if (!service || !service->inside.count || service->affinity_s || (service->flags & SERVICE_SOURCE_RANGES))
		return NULL;
	return service;
}

static __always_inline void request_set(struct service_request *request, __u8 proto, const struct socket_end *end)
{
	node_address_copy(&request->client, addr_is_v4(&end->addr));
	addr_copy(&request->addr, &end->addr);
	/* For Maglev: without a port to hash, all of a client's connections would go to one backend. */
	request->sport = bpf_get_prandom_u32();
	request->port = end->port;
	request->proto = proto;
}

/* 0: `peer` has the backend that is to take the Service's place. Else a drop reason as a negative number. */
static __always_inline int socket_balance(const struct service *service, const struct service_request *request,
					  struct socket_peer *peer)
{
	__s64 number = service_choose(service, request);
	const struct backend *backend;

	if (number < 0)
		return number;
	backend = backend_find(number);
	if (!backend)
		return -DROP_INTERNAL;
	addr_copy(&peer->addr, &backend->addr);
	peer->port = backend->port;
	peer->service = service->id;
	peer->backend = number;
	return 0;
}

/* The call fails with an errno that says why; it is counted as a packet would be. Calls of two processes may interrupt each
 * other, and one of their counts be lost then. */
static __always_inline int socket_refuse(int err)
{
	const __u32 reason = -err & (DROP_REASON_MAX - 1);

	metric_count(reason, HOOK_SOCKET, 0);
	if (reason == DROP_NO_BACKEND)
		bpf_set_retval(-ECONNREFUSED);
	else if (reason != DROP_SOURCE_RANGE) /* which is EPERM, as of a packet filter */
		bpf_set_retval(-EHOSTUNREACH);
	return SOCKET_REFUSE;
}

static __always_inline void socket_key_set(struct socket_key *key, struct bpf_sock_addr *ctx, __u8 direction,
					   const struct addr *addr, be16 port)
{
	key->cookie = bpf_get_socket_cookie(ctx);
	addr_copy(&key->addr, addr);
	key->port = port;
	key->proto = ctx->protocol;
	key->direction = direction;
}

/* `peer` is what `end` was translated to: the way back from it is written down. */
static __always_inline void socket_hears(struct bpf_sock_addr *ctx, const struct socket_end *end,
					 const struct socket_peer *peer)
{
	struct socket_peer from = { .port = end->port, .service = peer->service, .backend = peer->backend };
	struct socket_key key = {};

	socket_key_set(&key, ctx, SOCKET_HEARS, &peer->addr, peer->port);
	addr_copy(&from.addr, &end->addr);
	bpf_map_update_elem(&sockets, &key, &from, BPF_ANY);
}

static __always_inline void socket_end_becomes(struct socket_end *end, const struct socket_peer *peer)
{
	addr_copy(&end->addr, &peer->addr);
	end->port = peer->port;
	counter_add(COUNTER_SOCKET_TRANSLATED);
}

/* A socket connects to `end`, which becomes a backend's address where it is a Service's. */
static __always_inline int socket_connect(struct bpf_sock_addr *ctx, struct socket_end *end)
{
	struct service_request request = {};
	const struct service *service;
	struct socket_peer peer = {};
	int err = 0;

	if (!runtime.has_services || (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_UDP))
		return SOCKET_PROCEED;
	request_set(&request, ctx->protocol, end);
	service = socket_is_of_node(ctx) ? service_for_node(&request, &err) : service_for_pod(&request);
	if (service)
		err = socket_balance(service, &request, &peer);
	if (err)
		return socket_refuse(err);
	if (!service)
		return SOCKET_PROCEED;
	socket_hears(ctx, end, &peer);
	socket_end_becomes(end, &peer);
	return SOCKET_PROCEED;
}

/* A socket of the node sends one datagram to `end`: to the backend that it has, as long as that serves. */
static __always_inline int socket_send(struct bpf_sock_addr *ctx, struct socket_end *end)
{
	struct service_request request = {};
	struct socket_peer peer = {}, *known;
	const struct service *service;
	struct socket_key key = {};
	int err = 0;

	if (!runtime.has_services || ctx->protocol != IPPROTO_UDP || !socket_is_of_node(ctx))
		return SOCKET_PROCEED;
	request_set(&request, ctx->protocol, end);
	service = service_for_node(&request, &err);
	if (!service)
		return err ? socket_refuse(err) : SOCKET_PROCEED;
	socket_key_set(&key, ctx, SOCKET_SENDS, &end->addr, end->port);
	known = bpf_map_lookup_elem(&sockets, &key);
	if (known && backend_serves(known->backend, known->service, &known->addr, known->port)) {
		peer = *known;
	} else {
		err = socket_balance(service, &request, &peer);
		if (err)
			return socket_refuse(err);
		bpf_map_update_elem(&sockets, &key, &peer, BPF_ANY);
		known = NULL;
	}
	socket_key_set(&key, ctx, SOCKET_HEARS, &peer.addr, peer.port);
	/* The table may have lost the one and kept the other. */
	if (!known || !bpf_map_lookup_elem(&sockets, &key))
		socket_hears(ctx, end, &peer);
	socket_end_becomes(end, &peer);
	return SOCKET_PROCEED;
}

/* True where `end` is a backend that this socket knows by a Service's address, which `end` becomes. */
static __always_inline bool socket_untranslate(struct bpf_sock_addr *ctx, struct socket_end *end)
{
	struct socket_key key = {};
	const struct socket_peer *from;

	socket_key_set(&key, ctx, SOCKET_HEARS, &end->addr, end->port);
	from = bpf_map_lookup_elem(&sockets, &key);
	if (!from)
		return false;
	addr_copy(&end->addr, &from->addr);
	end->port = from->port;
	return true;
}

#endif
