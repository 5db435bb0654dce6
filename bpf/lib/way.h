/* The ways of a connection. Each of its ends is somewhere, seen from this node; by that packets come from it and go to it.
 * Reads `nodes` and `uplinks`; writes `decision_scratch`. */
#ifndef SLUICE_BPF_WAY_H
#define SLUICE_BPF_WAY_H

#include "lib/common.h"
#include "lib/config.h"
#include "lib/flow.h"
#include "lib/node.h"
#include "lib/packet.h"
#include "lib/uplink.h"

static __always_inline void l2_set(struct l2_pair *l2, const __u8 *dst, const __u8 *src)
{
	__builtin_memcpy(l2->dst, dst, sizeof(l2->dst));
	__builtin_memcpy(l2->src, src, sizeof(l2->src));
}

/* How packets of `from` are known. */
static __always_inline int half_come(struct flow_half *half, const struct end *from, const struct end *to,
				     const __u8 *host_mac)
{
	const struct node *here;

	switch (from->place) {
	case PLACE_POD:
		half->origin = from->pod.ifindex;
		l2_set(&half->l2_in, host_mac, from->pod.pod_mac);
		return 0;
	case PLACE_NODE:
		here = node_lookup(NODE_HERE);
		if (!here || !here->ifindex)
			return -DROP_NO_TUNNEL;
		half->origin = here->ifindex;
		half->from_node = from->via;
		return 0;
	case PLACE_UPLINK:
		half->origin = FLOW_ORIGIN_UPLINK;
		return 0;
	default:
		here = to->place == PLACE_NODE ? node_lookup(NODE_HERE) : NULL;
		half->origin = (here ? here->ifindex : to->pod.ifindex) | FLOW_ORIGIN_HOST;
		return 0;
	}
}

static __always_inline int half_to_node(struct flow_half *half, __u32 id)
{
	const struct node *here = node_lookup(NODE_HERE), *there = node_lookup(id);

	if (!here || !here->ifindex || !there || !node_exists(there))
		return -DROP_NO_TUNNEL;
	half->egress_ifindex = here->ifindex;
	half->delivery = FLOW_TO_TUNNEL;
	half->mtu = here->mtu - (addr_is_v4(&there->address) ? TUNNEL_OVERHEAD_V4 : TUNNEL_OVERHEAD_V6);
	half->node = id;
	return 0;
}

static __always_inline int half_to_uplink(struct flow_half *half, __u32 ifindex)
{
	const struct uplink *uplink = uplink_lookup(ifindex);

	if (!uplink)
		return -DROP_NO_UPLINK;
	half->egress_ifindex = ifindex;
	half->delivery = FLOW_TO_UPLINK;
	half->mtu = uplink->mtu;
	return 0;
}

/* Where packets to `to` go. Those to another node and to the world pass the host's stack in no case: it knows no way to the
 * one, and takes what is translated to an address of its own for forged. */
static __always_inline int half_go(struct flow_half *half, const struct end *from, const struct end *to,
				   const __u8 *host_mac)
{
	if (to->back)
		return half_to_uplink(half, to->back);
	if (to->place == PLACE_NODE)
		return half_to_node(half, to->via);
	if (to->place == PLACE_UPLINK)
		return half_to_uplink(half, to->via);
	half->delivery = FLOW_TO_STACK;
	if (to->place == PLACE_STACK || from->place == PLACE_STACK)
		return 0;
	half->egress_ifindex = to->pod.ifindex;
	l2_set(&half->l2_out, to->pod.pod_mac, host_mac);
	if ((from->pod.flags | to->pod.flags) & ENDPOINT_THROUGH_STACK)
		return 0;
	half->delivery = to->pod.flags & ENDPOINT_SHAPED ? FLOW_TO_DEVICE : FLOW_TO_PEER;
	half->mtu = to->pod.mtu;
	return 0;
}

/* The way of the packet and that of its answers, between the ends that were found. */
__noinline int ways(const struct packet *pkt)
{
	struct decision *decision = decision_here();
	struct flow_half *sent, *received;
	__u8 host_mac[6], dir;

	if (!pkt || !decision)
		return -DROP_INTERNAL;
	dir = pkt->dir & 1;
	host_mac_copy(host_mac);
	sent = &decision->entry.half[dir];
	received = decision->entry.flags & FLOW_TRANSLATED ? &decision->answer : &decision->entry.half[!dir];
	decision->answer.epoch = sent->epoch;
	return half_come(sent, &decision->source, &decision->target, host_mac)             ?:
		       half_go(sent, &decision->source, &decision->target, host_mac)       ?:
		       half_come(received, &decision->target, &decision->source, host_mac) ?:
		       half_go(received, &decision->target, &decision->source, host_mac);
}

#endif
