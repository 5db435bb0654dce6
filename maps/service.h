/* Services: a frontend (address, port, protocol) and what is behind it. Written by the agent; host ports by the plugin.
 *
 *   services       hash: frontend -> which slots it chooses from, and its switches
 *   backend_slots  array: slot -> backend. A frontend has a run of slots: as many as backends, or more where weights or
 *                  Maglev (NSDI '16, 3.4) ask for it. Frontends with the same choice share a run.
 *   backends       array: backend -> address, port, state. An endpoint of a Service has a row of numbers, one for each port
 *                  of the Service, as long as it lives: a flow that remembers one can ask whether it still serves.
 *   source_ranges  LPM trie: {service id, prefix} -> may come in (spec.loadBalancerSourceRanges)
 *   affinity       LRU: {client, service id} -> endpoint (sessionAffinity: ClientIP); written by the datapath
 *
 * Order of writing: backends, then slots in a new run, then the frontend, which one update switches; removal is the other
 * way round. So a packet meets the old choice or the new one, never a part of each.
 *
 * A host port (CNI "portMappings") is a port of the node that leads to one pod. The plugin writes it while no agent needs to
 * run, so it has numbers that the agent gives to nobody: the last HOST_PORTS_OF(capacities) backends and as many slots are
 * host ports'. The one with index i has the backend and the slot that are i + 1 before the end of their arrays, and the
 * Service number HOST_PORT_SERVICE | i. It is in use where its backend is. */
#ifndef SLUICE_MAPS_SERVICE_H
#define SLUICE_MAPS_SERVICE_H

#include "maps/types.h"

SLUICE_LAYOUTS_BEGIN

#define HOST_PORT_SERVICE              0x80000000U
#define HOST_PORTS_OF(backends, slots) (((backends) < (slots) ? (backends) : (slots)) / 16)

/* services: key. Port 0 with protocol 0 is a ClusterIP as a whole: its ports without a Service are refused by it. */
struct service_key {
	struct addr addr;
	be16 port;
	__u8 proto; /* IPPROTO_* */
	__u8 pad[5];
};
static_assert(sizeof(struct service_key) == 24, "struct service_key is map ABI");

#define SERVICE_OUTSIDE       1 /* clients from outside of the cluster may come in (NodePort, LoadBalancer, external IP) */
#define SERVICE_KEEP_CLIENT   2   /* externalTrafficPolicy Local: outside clients keep their address */
#define SERVICE_MAGLEV        4   /* the slot is chosen by the hash of the client's tuple, else at random */
#define SERVICE_DROP_INSIDE   8   /* nothing to choose for inside clients: drop (policy Local), else refuse */
#define SERVICE_DROP_OUTSIDE  16  /* the same for outside clients */
#define SERVICE_DSR           32  /* backends on other nodes answer the client directly */
#define SERVICE_SOURCE_RANGES 64  /* only clients in source_ranges */
#define SERVICE_NODE_PORT     128 /* the address is the node's own: sockets of the node have it too */

/* A run of slots. */
struct backend_table {
	__u32 first; /* index into backend_slots */
	__u32 count; /* 0: nothing to choose */
};

/* services: value */
struct service {
	__u32 id;         /* of the Service, the same for all its frontends and ports; never 0 */
	__u32 flags;      /* SERVICE_* */
	__u32 affinity_s; /* sessionAffinityConfig.clientIP.timeoutSeconds; 0: no affinity */
	__u32 port_index; /* of the Service's port: an endpoint's first backend number + this is its backend */
	struct backend_table inside;  /* for pods and nodes of the cluster */
	struct backend_table outside; /* for all others */
};
static_assert(sizeof(struct service) == 32, "struct service is map ABI");

enum backend_state {
	BACKEND_GONE = 0,    /* no longer an endpoint, or never one: datagrams go elsewhere from the next one on */
	BACKEND_SERVING = 1, /* chosen for new connections */
	BACKEND_ENDING = 2,  /* keeps those that it has: it terminates and still serves */
};

#define BACKEND_LOCAL 1 /* a pod of this node */

/* backends: value */
struct backend {
	struct addr addr;
	be16 port;
	__u8 state;    /* enum backend_state */
	__u8 flags;    /* BACKEND_* */
	__u32 service; /* the Service that it belongs to: struct service.id */
};
static_assert(sizeof(struct backend) == 24, "struct backend is map ABI");

/* source_ranges: key */
struct source_range_key {
	__u32 prefix_len; /* 32 + that of the address as ::ffff:a.b.c.d */
	__u32 service;    /* struct service.id */
	be32 word[4];
};
static_assert(sizeof(struct source_range_key) == 24, "struct source_range_key is map ABI");

/* affinity: key */
struct affinity_key {
	struct addr client;
	__u32 service; /* struct service.id */
	__u32 pad;
};
static_assert(sizeof(struct affinity_key) == 24, "struct affinity_key is map ABI");

/* affinity: value */
struct affinity_entry {
	__u64 last_used_ns; /* CLOCK_MONOTONIC; the time-out counts from here */
	__u32 endpoint;     /* its first backend number: that of the Service's port with index 0 */
	__u32 pad;
};
static_assert(sizeof(struct affinity_entry) == 16, "struct affinity_entry is map ABI");

SLUICE_LAYOUTS_END

#endif
