/* nodes: the nodes of the cluster, by a number that this node gives them and that never leaves it. Array; index 0 is this
 * node itself, which the loader writes, the others are written by the agent. A change is followed by a new runtime.epoch. */
#ifndef SLUICE_MAPS_NODE_H
#define SLUICE_MAPS_NODE_H

#include "maps/types.h"

SLUICE_LAYOUTS_BEGIN

#define NODE_HERE 0

/* What a tunnel puts around a packet (RFC 7348, 5): the inner Ethernet header, VXLAN, UDP, and the outer IP header. */
#define TUNNEL_OVERHEAD_V4 50
#define TUNNEL_OVERHEAD_V6 70

/* In node.flags. */
#define NODE_NATIVE 1 /* its pods are reached by routes, without a tunnel */

struct node {
	struct addr address; /* the other end of the tunnels with it; ::, there is no such node */
	union {
		__u32 ifindex; /* NODE_HERE: the tunnel device; 0: there is none */
		__u32 flags;   /* all others: NODE_* */
	};
	__u32 mtu; /* NODE_HERE: of the uplink, from the outer IP header on */
};
static_assert(sizeof(struct node) == 24, "struct node is map ABI");

SLUICE_LAYOUTS_END

#endif
