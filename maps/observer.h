/* Observers: whoever wants to see events puts a ring buffer of its own into a slot of `observers` (array of ring
 * buffers) and a filter into the same slot of `observer_filters`, then sets the slot's bit in runtime.observers.
 * Observers do not see each other, and with no bit set the programs read one word and go on.
 *
 * A slot belongs to the process that holds the lock on its file under /run/sluice/observers. A filter has a lease,
 * which its owner renews: an observer that died costs nothing more once its lease is over. */
#ifndef SLUICE_MAPS_OBSERVER_H
#define SLUICE_MAPS_OBSERVER_H

#include "maps/types.h"

SLUICE_LAYOUTS_BEGIN

#define OBSERVER_SLOTS      8
#define OBSERVER_RING_BYTES (1 << 20) /* default size of a ring buffer; its owner may choose another power of two */

enum event_type {
	EVENT_NEW = 0,     /* a connection got its flow entry */
	EVENT_CLOSED = 1,  /* TCP was closed or reset; or a flow past its time-out was replaced */
	EVENT_DROPPED = 2, /* a packet was dropped */
	EVENT_PACKET = 3,  /* a packet went its way: for observers that ask for every packet */
	EVENT_AUDITED = 4, /* policy would have denied it, and lets it pass in audit mode */
};

/* observer_filters: value. An event must pass all; a zero field lets everything pass. */
struct observer_filter {
	__u64 lease_ns;      /* CLOCK_MONOTONIC: sees nothing after this */
	__u64 lost;          /* events that found the ring full; written by the datapath */
	struct addr address; /* source or destination, under `mask` */
	struct addr mask;
	__u32 events;  /* bit 1 << enum event_type for each wanted type; 0: none */
	__u32 ifindex; /* where the packet came in or leaves */
	be16 port;     /* source or destination */
	__u8 proto;    /* IPPROTO_* */
	__u8 reason;   /* enum drop_reason */
	__u8 pad[4];
};
static_assert(sizeof(struct observer_filter) == 64, "struct observer_filter is map ABI");

/* What an observer reads from its ring buffer. */
struct flow_event {
	__u64 time_ns;        /* CLOCK_MONOTONIC */
	struct addr src, dst; /* of the packet; EVENT_CLOSED: src is the initiator */
	be16 sport, dport;
	__u8 proto;
	__u8 type;            /* enum event_type */
	__u8 reason;          /* enum drop_reason; DROP_NONE unless EVENT_DROPPED */
	__u8 hook;            /* enum hook */
	__u32 ifindex;        /* the pod interface's host end where the packet was seen */
	__u32 egress_ifindex; /* 0: the host's stack, or nowhere */
	__u32 length;         /* of the frame */
	__u8 tcp_flags;
	__u8 delivery; /* enum flow_delivery */
	__u8 pad[2];
	__u32 service; /* struct service.id that the client asked for; 0: none */
	__u32 rule;    /* EVENT_DROPPED and EVENT_AUDITED by policy: struct tier_verdict.rule; 0: no rule allows it */
	struct addr backend; /* whom the client was given, where it asked for a Service */
	be16 backend_port;
	__u8 pad2[6];
	__u64 packets[2]; /* EVENT_CLOSED: by the initiator, by the other end */
	__u64 bytes[2];
};
static_assert(sizeof(struct flow_event) == 128, "struct flow_event is ring buffer ABI");

SLUICE_LAYOUTS_END

#endif
