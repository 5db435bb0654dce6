/* The slow path of what other nodes send through the tunnel (lib/route.h has that of pods). Nothing that a node says of
 * itself or of its pods is believed: who the sender is says `ipcache`, and the tunnel must be that node's. */
#ifndef SLUICE_BPF_OVERLAY_H
#define SLUICE_BPF_OVERLAY_H

#include "lib/common.h"
#include "lib/direct.h"
#include "lib/flow.h"
#include "lib/ipcache.h"
#include "lib/masquerade.h"
#include "lib/outside.h"
#include "lib/packet.h"
#include "lib/route.h"
#include "lib/tunnel.h"

/* Which node the sender is behind, where the tunnel is that node's. A test run has no tunnel: a trace takes it for that
 * node's. */
static __always_inline int sender_check(struct __sk_buff *skb, const struct addr *sender, __u32 *node)
{
	const struct ipcache_entry *entry = ipcache_lookup(sender);

	*node = entry ? entry->node : NODE_HERE;
	if (cfg_trace && *node != NODE_HERE)
		return 0;
	return tunnel_check(skb, *node);
}

/* What comes by a tunnel goes to the stack in answer to it only (decide_to_overlay). */
static __always_inline bool answers_stack(const struct packet *pkt, const struct flow_entry *known)
{
	if (!known)
		return false;
	barrier_var(known); /* as in target_place */
	return known->half[pkt->dir & 1].delivery == FLOW_TO_STACK;
}

/* A packet that a tunnel has brought, of a connection that is not decided: whom it is for, and whether it may go there. */
__noinline int decide_from_overlay(struct __sk_buff *skb, struct packet *pkt, struct flow_entry *known)
{
	struct decision *decision;
	struct addr src;
	__u32 node;
	int err;

	if (!pkt)
		return -DROP_INTERNAL;
	addr_copy(&src, packet_src(pkt));
	err = sender_check(skb, &src, &node);
	if (err)
		return err;
	decision = decision_begin(pkt);
	if (!decision)
		return -DROP_INTERNAL;
	if (known && !flow_continues(pkt, known))
		known = NULL;
	if (pkt->is_icmp_error && !known)
		return -DROP_ICMP_UNRELATED;
	if (known && (known->flags & FLOW_TRANSLATED)) {
		if ((known->met & 1) != (pkt->dir & 1))
			return -DROP_TUPLE_IN_USE;
		translation_keep(&decision->entry, known);
	}
	target_find(pkt, decision);
	decision->source.place = PLACE_NODE;
	decision->source.via = node;
	target_place(decision, known, pkt->dir & 1);
	/* A tunnel leads to pods, and the answers of pods to whom this node has sent there, itself included. */
	if (decision->target.place != PLACE_POD && decision->target.place != PLACE_UPLINK && !answers_stack(pkt, known))
		return -DROP_NO_SUCH_POD;
	addr_copy(&decision->source.addr, &src);
	decision->continues = known;
	return connection_judge(skb, pkt, known, decision);
}

/* The node of the cluster from whose address the tunnel comes; NODE_HERE: no other's. */
static __always_inline __u32 tunnel_node(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {};
	const struct ipcache_entry *entry;
	struct addr addr;

	if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), 0))
		addr_set_v4(&addr, bpf_htonl(key.remote_ipv4));
	else if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6))
		__builtin_memcpy(&addr, key.remote_ipv6, sizeof(addr));
	else
		return NODE_HERE;
	entry = ipcache_lookup(&addr);
	return entry ? entry->node : NODE_HERE;
}

/* A packet of an outside client whose endpoint another node has chosen and names (lib/direct.h), of a connection that is not
 * decided. */
__noinline int decide_direct(struct __sk_buff *skb, struct packet *pkt, struct flow_entry *known)
{
	struct flow_translation *to;
	struct decision *decision;
	struct addr src;
	__u32 node;
	__u8 dir;
	int err;

	if (!pkt)
		return -DROP_INTERNAL;
	dir = pkt->dir & 1;
	addr_copy(&src, packet_src(pkt));
	decision = decision_begin(pkt);
	if (!decision)
		return -DROP_INTERNAL;
	node = tunnel_node(skb);
	err = tunnel_check(skb, node);
	if (err)
		return err;
	if (endpoint_lookup(&src) || client_from(&src, decision->generation) != CLIENT_OUTSIDE)
		return -DROP_FOREIGN_TUNNEL;
	if (known && !flow_continues(pkt, known))
		known = NULL;
	if (pkt->is_icmp_error && !known)
		return -DROP_ICMP_UNRELATED;
	if (known && ((known->met & 1) != dir || !(known->flags & FLOW_DIRECT) || !direct_expected(skb, &known->to)))
		return -DROP_TUPLE_IN_USE;
	if (known) {
		translation_keep(&decision->entry, known);
	} else {
		to = &decision->entry.to;
		err = direct_read(skb, pkt->is_v4, to);
		if (err)
			return err;
		addr_copy(&to->src, &src);
		to->sport = pkt->key.port[dir];
		decision->entry.flags = FLOW_DIRECT | FLOW_TRANSLATED;
		decision->entry.met = dir;
	}
	target_find(pkt, decision);
	target_place(decision, known, dir);
	if (decision->target.place != PLACE_POD)
		return -DROP_NO_SUCH_POD;
	addr_copy(&decision->source.addr, &src);
	decision->source.place = PLACE_NODE;
	decision->source.via = node;
	decision->source.back = uplink_towards(skb, pkt, &src);
	if (!decision->source.back)
		return -DROP_NO_UPLINK;
	decision->continues = known;
	return connection_judge(skb, pkt, known, decision);
}

/* The node's stack sends this frame by the tunnel device, whose own address it has, and to one. What programs send has its
 * tunnel already, and others' (lib/tunnel.h, lib/direct.h). */
static __always_inline bool stack_sends(const struct __sk_buff *skb)
{
	const __u8 *frame = (void *)(long)skb->data;

	if ((void *)(frame + ETH_HLEN) > (void *)(long)skb->data_end || (frame[0] & 1))
		return false;
	for (int i = 0; i < 6; i++)
		if (frame[6 + i] != cfg_host_mac[i])
			return false;
	return true;
}

/* A packet of the node's own processes to a pod behind a tunnel, of a connection that is not decided. Of no pod here, so
 * policy is asked at the other end alone. */
__noinline int decide_to_overlay(struct packet *pkt, struct flow_entry *known)
{
	const struct ipcache_entry *entry;
	struct decision *decision;
	struct addr src;

	if (!pkt)
		return -DROP_INTERNAL;
	decision = decision_begin(pkt);
	if (!decision)
		return -DROP_INTERNAL;
	addr_copy(&src, packet_src(pkt));
	entry = ipcache_lookup(&src);
	if (!entry || ipcache_identity(entry, decision->generation) != IDENTITY_HOST)
		return -DROP_NOT_NODES_OWN;
	if (known && !flow_continues(pkt, known))
		known = NULL;
	if (known && (known->flags & FLOW_TRANSLATED))
		return -DROP_TUPLE_IN_USE;
	addr_copy(&decision->source.addr, &src);
	addr_copy(&decision->target.addr, packet_dst(pkt));
	decision->target.via = node_behind(&decision->target, FLOW_UNDECIDED, decision->generation);
	if (!decision->target.via)
		return -DROP_NO_TUNNEL;
	decision->target.place = PLACE_NODE;
	decision->forgotten = pkt->is_icmp_error && !known;
	decision->continues = known;
	return 0;
}

#endif
