/* Source translation: what leaves under the node's own address, since its sender could not be answered under its own
 * (RFC 4787, RFC 5382, RFC 5508). Pods' connections to the world, and those of outside clients that are sent on to
 * another node. lib/claim.h takes the port. Reads `uplinks`, `ipcache` and `services`. */
#ifndef SLUICE_BPF_MASQUERADE_H
#define SLUICE_BPF_MASQUERADE_H

#include "lib/common.h"
#include "lib/config.h"
#include "lib/fib.h"
#include "lib/flow.h"
#include "lib/ipcache.h"
#include "lib/nat.h"
#include "lib/node.h"
#include "lib/packet.h"
#include "lib/service.h"
#include "lib/uplink.h"

#define SOURCE_PORT_FIRST 1024 /* RFC 6056, 3.2 */

/* What has ports, or an identifier, by which answers are told apart. */
static __always_inline bool source_translatable(const struct packet *pkt)
{
	if (proto_is_icmp(pkt->is_v4, pkt->l4_proto))
		return icmp_has_identifier(pkt->is_v4, pkt->icmp_type);
	return pkt->l4_proto == IPPROTO_TCP || pkt->l4_proto == IPPROTO_UDP || pkt->l4_proto == IPPROTO_SCTP;
}

static __always_inline bool addr_in_block(const struct addr *address, __u32 block)
{
	for (int i = 0; i < 4; i++)
		if ((address->word[i] & cfg_unmasqueraded_mask[block].word[i]) != cfg_unmasqueraded[block].word[i])
			return false;
	return true;
}

/* What a pod sends to `dst` leaves the cluster, or goes to a node that knows no way back to pods. */
static __always_inline bool masqueraded(const struct packet *pkt, const struct addr *dst, __u32 generation)
{
	const struct ipcache_entry *entry;
	__u32 identity;

	if (!cfg_masquerade || !source_translatable(pkt))
		return false;
	entry = ipcache_lookup(dst);
	identity = entry ? ipcache_identity(entry, generation) : IDENTITY_UNKNOWN;
	if (identity == IDENTITY_HOST || identity >= IDENTITY_POD_FIRST ||
	    (identity == IDENTITY_REMOTE_NODE && !node_tunnelled(entry->node)))
		return false;
	for (__u32 i = 0; i < UNMASQUERADED_MAX && i < cfg_unmasqueraded_count; i++)
		if (addr_in_block(dst, i))
			return false;
	return true;
}

/* The uplink by which the host's stack would forward the packet to `dst`; 0: it goes another way, or none. */
__noinline int uplink_towards(struct __sk_buff *skb, const struct packet *pkt, const struct addr *dst)
{
	struct bpf_fib_lookup fib = { .ifindex = skb->ifindex };
	int err;

	if (!pkt || !dst)
		return 0;
	fib_ask(&fib, pkt->is_v4, pkt->key.proto, &pkt->key.addr[pkt->dir & 1], dst);
	err = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	/* A neighbour that is not known yet is asked for when the packet leaves; its size is looked at by ourselves. */
	if (err != BPF_FIB_LKUP_RET_SUCCESS && err != BPF_FIB_LKUP_RET_NO_NEIGH && err != BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return 0;
	return uplink_lookup(fib.ifindex) ? fib.ifindex : 0;
}

/* Gives the connection the node's address on this uplink as its source. */
__noinline int source_translate(const struct packet *pkt, struct decision *decision, __u32 ifindex)
{
	const struct uplink *uplink = uplink_lookup(ifindex);
	struct flow_translation *to;
	__u8 dir;

	if (!pkt || !decision)
		return -DROP_INTERNAL;
	if (!uplink)
		return -DROP_NO_UPLINK;
	dir = pkt->dir & 1;
	to = &decision->entry.to;
	if (!(decision->entry.flags & FLOW_TRANSLATED)) {
		addr_copy(&to->dst, &pkt->key.addr[!dir]);
		to->sport = pkt->key.port[dir];
		to->dport = pkt->key.port[!dir];
		decision->entry.flags = FLOW_TRANSLATED;
		decision->entry.met = dir;
	}
	addr_copy(&to->src, pkt->is_v4 ? &uplink->v4 : &uplink->v6);
	if (!to->src.word[2] && !to->src.word[3])
		return -DROP_NO_SOURCE;
	decision->ports_first = uplink->ports_first;
	decision->ports_last = uplink->ports_last;
	decision->as_node = true;
	return 0;
}

/* Some socket of the node has this port, in so far as an answer would be its own. */
static __always_inline bool node_socket_has(struct __sk_buff *skb, const struct packet *pkt,
					    const struct flow_translation *to)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk = NULL;
	__u32 size;

	if (pkt->is_v4) {
		size = sizeof(tuple.ipv4);
		tuple.ipv4.saddr = to->dst.word[3];
		tuple.ipv4.daddr = to->src.word[3];
		tuple.ipv4.sport = to->dport;
		tuple.ipv4.dport = to->sport;
	} else {
		size = sizeof(tuple.ipv6);
		for (int i = 0; i < 4; i++) {
			tuple.ipv6.saddr[i] = to->dst.word[i];
			tuple.ipv6.daddr[i] = to->src.word[i];
		}
		tuple.ipv6.sport = to->dport;
		tuple.ipv6.dport = to->sport;
	}
	if (pkt->key.proto == IPPROTO_TCP)
		sk = bpf_skc_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	else if (pkt->key.proto == IPPROTO_UDP)
		sk = bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return false;
	bpf_sk_release(sk);
	return true;
}

/* The node itself does not use the source port of decision->entry.to and will not by itself. An ICMP identifier is nobody's;
 * what the kernel does not look up (SCTP) has to be believed. */
__noinline int source_port_free(struct __sk_buff *skb, const struct packet *pkt, const struct decision *decision)
{
	struct addr node;
	__u16 port;

	if (!pkt || !decision)
		return false;
	if (proto_is_icmp(pkt->is_v4, pkt->key.proto))
		return true;
	port = bpf_ntohs(decision->entry.to.sport);
	if (port < SOURCE_PORT_FIRST)
		return false;
	addr_copy(&node, &decision->entry.to.src);
	if (runtime.has_services && service_find(&node, decision->entry.to.sport, pkt->key.proto))
		return false;
	if (pkt->key.proto == IPPROTO_SCTP)
		return true;
	if (port >= decision->ports_first && port <= decision->ports_last)
		return false;
	return !node_socket_has(skb, pkt, &decision->entry.to);
}

/* Any port from SOURCE_PORT_FIRST on; of a connection that leaves as the node's, none of those that are kept for it. */
static __always_inline be16 source_port_random(const struct decision *decision)
{
	__u32 kept = decision->as_node ? decision->ports_last - decision->ports_first + 1 : 0;
	__u32 port = SOURCE_PORT_FIRST + bpf_get_prandom_u32() % (65536 - SOURCE_PORT_FIRST - kept);

	return bpf_htons(decision->as_node && port >= decision->ports_first ? port + kept : port);
}

#endif
