/* flows: one entry for each connection, both directions in it.
 *
 * The key is the connection's tuple with the smaller (address, port) end first, so that a packet of either direction
 * computes the same key. The value has a half for each direction on its own cache line: half[0] is for packets from
 * end[0] to end[1]. A half is written by the CPUs that carry its direction and read by the other's only for the state.
 *
 * One entry instead of two costs one insert for a new connection, and no half can be evicted alone: an LRU that is full
 * forgets whole connections, never one direction of one.
 *
 * A translated connection has two tuples, that of the packets before and that of those behind the translation, and so two
 * entries: one is met by what the client sends, the other by what the server answers. In each only the half of that
 * direction is met by packets; the other one mirrors what the partner has seen, so that the state can be told from either.
 * The partner is found by computing: its key is the tuple in `to`.
 */
#ifndef SLUICE_MAPS_FLOW_H
#define SLUICE_MAPS_FLOW_H

#include "maps/types.h"

SLUICE_LAYOUTS_BEGIN

/* flows: key. "Smaller" compares the address as two 64-bit words as they lie in memory, then the port: any total order
 * does, and this one costs two loads. For ICMP echo both ports hold the identifier (RFC 792); for protocols without
 * ports, and ICMP without identifier, they are 0. */
struct flow_key {
	struct addr addr[2];
	be16 port[2];
	__u8 proto; /* IPPROTO_* */
	__u8 pad[3];
};
static_assert(sizeof(struct flow_key) == 40, "struct flow_key is map ABI");

/* What happens to a packet of this direction. Never renumbered. */
enum flow_delivery {
	FLOW_UNDECIDED = 0,
	FLOW_TO_PEER = 1,   /* into the pod behind egress_ifindex, past the host's stack */
	FLOW_TO_DEVICE = 2, /* out of egress_ifindex, through its qdisc */
	FLOW_TO_STACK = 3,  /* the host's stack goes on with it */
	FLOW_TO_TUNNEL = 4, /* to another node by the tunnel device egress_ifindex */
	FLOW_TO_UPLINK = 5, /* to the world by the uplink egress_ifindex, to the next hop that the node's routes say */
};

/* In flow_half.origin: the packet comes out of the host's stack to the interface (to_pod), not in from it (from_pod).
 * An ifindex is a positive int, so this bit is free. */
#define FLOW_ORIGIN_HOST (1U << 31)

/* It comes from the world, by whichever uplink: no interface has the index 0. */
#define FLOW_ORIGIN_UPLINK FLOW_ORIGIN_HOST

/* The TCP flags as they stand in the header's byte 13 (RFC 9293, 3.1). */
#define TCP_FLAG_FIN_BIT 0x01
#define TCP_FLAG_SYN_BIT 0x02
#define TCP_FLAG_RST_BIT 0x04
#define TCP_FLAG_ACK_BIT 0x10

/* The two addresses that open an Ethernet frame. */
struct l2_pair {
	__u8 dst[6];
	__u8 src[6];
};

/* One direction. 64 bytes: a cache line.
 *
 * Two CPUs that carry the same direction at the same moment may lose an increment of a counter to each other; an exact
 * count would cost two locked instructions on every packet. */
struct flow_half {
	__u64 packets;        /* as the datapath sees them: a GSO packet counts once */
	__u64 bytes;          /* from the IP header on */
	__u64 last_seen_ns;   /* CLOCK_MONOTONIC, refreshed at most once a second */
	__u32 epoch;          /* runtime.epoch that this half was decided in; another one means: decide anew */
	__u32 origin;         /* ifindex where its packets must come from, with FLOW_ORIGIN_HOST */
	__u32 egress_ifindex; /* for FLOW_TO_STACK the pod's it will reach, or 0; for all others the way out */
	__u16 mtu;            /* of the way out, from the IP header on; 0: the stack looks after it */
	__u8 delivery;        /* enum flow_delivery */
	__u8 tcp_flags;       /* all that this direction has sent, TCP_FLAG_*_BIT */
	union {
		struct l2_pair l2_in; /* the frame must have these: the pod's own MAC, sent to its gateway */
		__u32 from_node;      /* where origin is the tunnel device: index into nodes, whose tunnel it must be */
	};
	union {
		struct l2_pair l2_out; /* and leaves with these */
		__u32 node;            /* FLOW_TO_TUNNEL: index into nodes; the frame's are the same for all of them */
	};
};
static_assert(sizeof(struct flow_half) == 64, "struct flow_half is map ABI");

/* What the packets of a translated direction become, and the differences that this makes to checksums (RFC 1624), as
 * bpf_csum_diff gives them: computed once for the flow. */
struct flow_translation {
	struct addr src, dst;
	be16 sport, dport;
	__u32 addr_diff; /* of the addresses: pseudo header and IPv4 header */
	__u32 port_diff;
	__u32 backend; /* index into backends that was chosen; the service knows if it still serves */
};
static_assert(sizeof(struct flow_translation) == 48, "struct flow_translation is map ABI");

/* In flow_entry.flags. */
#define FLOW_TRANSLATED 1 /* packets of the half that is met leave as `to` */

/* The client of a Service is answered by the endpoint's node itself (bpf/lib/direct.h). On that node the entry is a translated
 * one as any other. Without FLOW_TRANSLATED this is the node that was asked: it sends the packets of the half that is
 * met on as they are, in a tunnel that names the endpoint, which is `to`.dst and dport, and sees no answers. */
#define FLOW_DIRECT 2

/* flows: value. Written by the datapath only. */
struct flow_entry {
	struct flow_half half[2];
	__u64 created_ns; /* CLOCK_MONOTONIC */
	__u32 service;    /* struct service.id, where the client asked for a Service; 0: none */
	__u8 initiator;   /* the half whose packet came first: 0 or 1 */
	__u8 flags;       /* FLOW_* */
	__u8 met;         /* translated: the half that packets of this key have: 0 or 1 */
	__u8 pad;
	struct flow_translation to; /* where FLOW_TRANSLATED; where FLOW_DIRECT its dst, dport and backend */
};
static_assert(sizeof(struct flow_entry) == 192, "struct flow_entry is map ABI");

/* How far a connection is. It follows from what both halves have seen, so no CPU has to write it. */
enum flow_state {
	FLOW_OPENING = 0,     /* no answer yet */
	FLOW_ESTABLISHED = 1, /* both directions have been heard: TCP acknowledged, others a packet */
	FLOW_CLOSING = 2,     /* TCP: one end has sent FIN */
	FLOW_CLOSED = 3,      /* TCP: both have, or one has reset it */
};

static inline enum flow_state flow_state(__u8 proto, const struct flow_half *one, const struct flow_half *other)
{
	const __u8 either = one->tcp_flags | other->tcp_flags, both = one->tcp_flags & other->tcp_flags;

	if (proto != 6 /* IPPROTO_TCP */)
		return one->packets && other->packets ? FLOW_ESTABLISHED : FLOW_OPENING;
	if ((either & TCP_FLAG_RST_BIT) || (both & TCP_FLAG_FIN_BIT))
		return FLOW_CLOSED;
	if (either & TCP_FLAG_FIN_BIT)
		return FLOW_CLOSING;
	return both & TCP_FLAG_ACK_BIT ? FLOW_ESTABLISHED : FLOW_OPENING;
}

/* The same of an entry. Where answers go another way, what is seen stands for both directions, but for the end: an answer may
 * still be under way when the client has said all. */
static inline enum flow_state flow_entry_state(__u8 proto, const struct flow_entry *entry)
{
	const struct flow_half *seen = &entry->half[entry->met & 1];
	enum flow_state state;

	if ((entry->flags & (FLOW_DIRECT | FLOW_TRANSLATED)) != FLOW_DIRECT)
		return flow_state(proto, &entry->half[0], &entry->half[1]);
	state = flow_state(proto, seen, seen);
	return state == FLOW_CLOSED && !(seen->tcp_flags & TCP_FLAG_RST_BIT) ? FLOW_CLOSING : state;
}

/* Which time-out a flow has: an index into the datapath's table of time-outs (cfg_timeout_ns). */
enum flow_timeout {
	TIMEOUT_TCP_OPENING = 0, /* the first four are in the order of enum flow_state */
	TIMEOUT_TCP_ESTABLISHED = 1,
	TIMEOUT_TCP_CLOSING = 2,
	TIMEOUT_TCP_CLOSED = 3,
	TIMEOUT_UDP_OPENING = 4,
	TIMEOUT_UDP_ESTABLISHED = 5,
	TIMEOUT_ICMP = 6,
	TIMEOUT_OTHER = 7,
	TIMEOUT_MAX = 8,
};

static inline enum flow_timeout flow_timeout(__u8 proto, enum flow_state state)
{
	switch (proto) {
	case 6: /* IPPROTO_TCP */
		return (enum flow_timeout)state;
	case 17: /* IPPROTO_UDP */
		return state == FLOW_OPENING ? TIMEOUT_UDP_OPENING : TIMEOUT_UDP_ESTABLISHED;
	case 1:  /* IPPROTO_ICMP */
	case 58: /* IPPROTO_ICMPV6 */
		return TIMEOUT_ICMP;
	default:
		return TIMEOUT_OTHER;
	}
}

SLUICE_LAYOUTS_END

#endif
