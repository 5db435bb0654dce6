/* Bouncing: a connection's packets that come in by an uplink and leave by the same one again, sent back before the kernel has
 * made a packet of the frame. Outside clients of a Service whose endpoint is on another node or in the world, and what that
 * endpoint answers, in tunnels where the overlay carries them (lib/vxlan.h).
 *
 * Nothing is decided here. from_uplink and from_overlay decide a connection at its first packet (lib/outside.h,
 * lib/overlay.h) and write it down; what is here takes the packets behind that which the entry says all about. Whatever else
 * they need goes on to those: a stale decision, SYN and what is over, fragments, ICMP, options, a packet that is too
 * big or has no hop left, a next hop that is not known, another uplink. Reads and writes `flows`; reads `nodes`. */
#ifndef SLUICE_BPF_BOUNCE_H
#define SLUICE_BPF_BOUNCE_H

#include "lib/common.h"
#include "lib/config.h"
#include "lib/csum.h"
#include "lib/direct.h"
#include "lib/fib.h"
#include "lib/flow.h"
#include "lib/hop.h"
#include "lib/nat.h"
#include "lib/node.h"
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/runtime.h"
#include "lib/vxlan.h"

/* The entry that says all about the packet, which came from `origin` (struct flow_half); else NULL. */
static __always_inline struct flow_entry *bounce_find(const struct packet *pkt, __u32 origin)
{
	struct flow_entry *entry;
	struct flow_half *half;
	__u64 now;

	if (pkt->tcp_flags & TCP_FLAG_SYN_BIT)
		return NULL;
	entry = bpf_map_lookup_elem(&flows, &pkt->key);
	if (!entry)
		return NULL;
	half = &entry->half[pkt->dir & 1];
	if (half->epoch != runtime.epoch || half->origin != origin || pkt->ip_len > half->mtu)
		return NULL;
	if (half->delivery != FLOW_TO_TUNNEL && half->delivery != FLOW_TO_UPLINK)
		return NULL;
	now = bpf_ktime_get_coarse_ns();
	return now - half->last_seen_ns > FLOW_REFRESH_NS && flow_expired(&pkt->key, entry, now) ? NULL : entry;
}

/* The packet can be changed as it must be: it has a hop left, and its checksum is whole. One that a sender on this machine has
 * left to its device is only that of the pseudo header as yet, and the frame does not tell; it is known by its value, and
 * one that is whole and has that value loses nothing but time. `data` is where the packet's own frame begins. */
static __always_inline bool bounce_may_change(const void *data, const void *data_end, const struct packet *pkt)
{
	const struct ipv6hdr *v6 = data + ETH_HLEN;
	const struct iphdr *v4 = data + ETH_HLEN;
	const struct tcphdr *tcp = pkt->is_v4 ? (const void *)(v4 + 1) : (const void *)(v6 + 1);
	const struct udphdr *udp = (const void *)tcp;
	const __u32 *word = (const __u32 *)pkt->key.addr;
	__u32 length, check;
	__u64 sum;

	if (pkt->is_v4) {
		if ((const void *)(v4 + 1) > data_end || v4->ttl <= 1)
			return false;
		length = bpf_ntohs(v4->tot_len) - sizeof(*v4);
	} else {
		if ((const void *)(v6 + 1) > data_end || v6->hop_limit <= 1)
			return false;
		length = bpf_ntohs(v6->payload_len);
	}
	if (pkt->l4_proto == IPPROTO_TCP) {
		if ((const void *)(tcp + 1) > data_end)
			return false;
		check = tcp->check;
	} else {
		if ((const void *)(udp + 1) > data_end)
			return false;
		check = udp->check;
	}
	/* ::ffff: of an IPv4 address sums up to nothing. */
	sum = (__u64)bpf_htons(pkt->l4_proto) + bpf_htons(length);
	for (int i = 0; i < 8; i++)
		sum += word[i];
	sum = (sum & 0xffffffff) + (sum >> 32);
	return check != (__u16)~checksum_fold((sum & 0xffff) + (sum >> 16));
}

/* The next hop to `dst` is known and behind the uplink that has brought the frame, whose MAC address that is for: nobody
 * looks after that before. */
static __always_inline bool bounce_way(struct xdp_md *ctx, struct bpf_fib_lookup *fib, const __u8 *addressed_to)
{
	fib->ifindex = ctx->ingress_ifindex;
	return bpf_fib_lookup(ctx, fib, sizeof(*fib), 0) == BPF_FIB_LKUP_RET_SUCCESS &&
	       fib->ifindex == ctx->ingress_ifindex && mac_equal(addressed_to, fib->smac);
}

static __always_inline bool bounce_translates(const struct packet *pkt, const struct flow_entry *entry)
{
	return (entry->flags & FLOW_TRANSLATED) && (entry->met & 1) == (pkt->dir & 1);
}

/* What all that bounce have in common: the packet's frame begins where the context's does. */
static __always_inline int bounce_rewrite(struct xdp_md *ctx, const struct packet *pkt, const struct flow_entry *entry)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	int err = hop_take(data, data_end, pkt->is_v4);

	if (!err && bounce_translates(pkt, entry))
		err = translate_frame(data, data_end, pkt, &entry->to);
	return err;
}

static __always_inline int l2_write(struct xdp_md *ctx, const struct bpf_fib_lookup *fib)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > data_end)
		return -DROP_PARSE_SHORT;
	__builtin_memcpy(eth->h_dest, fib->dmac, sizeof(eth->h_dest));
	__builtin_memcpy(eth->h_source, fib->smac, sizeof(eth->h_source));
	return 0;
}

/* Over IPv6 the outer checksum has to follow from the packet's own, and nothing may stand behind the packet. */
static __always_inline bool tunnel_takes(const void *data, const void *data_end, const struct packet *pkt,
					 const struct addr *there)
{
	const struct ipv6hdr *v6 = data + ETH_HLEN;
	const struct iphdr *v4 = data + ETH_HLEN;
	const struct udphdr *udp = pkt->is_v4 ? (const void *)(v4 + 1) : (const void *)(v6 + 1);

	if (addr_is_v4(there))
		return true;
	if ((const void *)(udp + 1) > data_end || (pkt->l4_proto == IPPROTO_UDP && !udp->check))
		return false;
	return pkt->ip_len == (pkt->is_v4 ? bpf_ntohs(v4->tot_len) : bpf_ntohs(v6->payload_len) + sizeof(*v6));
}

/* Puts the frame into a tunnel to `there`. */
static __always_inline int tunnel_write(struct xdp_md *ctx, const struct packet *pkt, const struct flow_entry *entry,
					const struct addr *there)
{
	struct vxlan_outer outer = { .length = bpf_xdp_get_buff_len(ctx), .sport = vxlan_source_port(&pkt->key) };
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	const bool over_v4 = addr_is_v4(there);

	if (data + ETH_HLEN > data_end)
		return -DROP_PARSE_SHORT;
	tunnel_l2_write(data, entry);
	outer.ecn = vxlan_ecn(data, data_end, pkt->is_v4);
	if (!over_v4 && vxlan_inner_sum(data, data_end, pkt->is_v4, &outer.inner_sum))
		return -DROP_PARSE_SHORT;
	node_address_copy(&outer.src, over_v4);
	addr_copy(&outer.dst, there);
	if (bpf_xdp_adjust_head(ctx, over_v4 ? -TUNNEL_OVERHEAD_V4 : -TUNNEL_OVERHEAD_V6))
		return -DROP_REWRITE;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	return over_v4 ? vxlan_write_v4(data, data_end, &outer) : vxlan_write_v6(data, data_end, &outer);
}

#define BOUNCE_NO 1 /* not here: the packet is as it was */

/* A client's packet, or an answer that comes without a tunnel. 0: the frame is ready to go out of the uplink again. */
static __always_inline int bounce_from_world(struct xdp_md *ctx, struct packet *pkt)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct bpf_fib_lookup fib = {};
	const struct node *node = NULL;
	struct flow_entry *entry;
	struct flow_half *half;
	int err;

	entry = bounce_find(pkt, FLOW_ORIGIN_UPLINK);
	if (!entry || !bounce_may_change(data, data_end, pkt))
		return BOUNCE_NO;
	half = &entry->half[pkt->dir & 1];
	if (half->delivery == FLOW_TO_TUNNEL) {
		struct addr here;

		node = node_lookup(half->node);
		if (!node)
			return BOUNCE_NO;
		node_address_copy(&here, addr_is_v4(&node->address));
		if (!here.word[3] || !tunnel_takes(data, data_end, pkt, &node->address))
			return BOUNCE_NO;
		fib_ask(&fib, addr_is_v4(&node->address), IPPROTO_UDP, &here, &node->address);
	} else if (bounce_translates(pkt, entry)) {
		fib_ask(&fib, pkt->is_v4, pkt->l4_proto, &entry->to.src, &entry->to.dst);
	} else {
		return BOUNCE_NO;
	}
	if (!bounce_way(ctx, &fib, data) || !flow_touch(pkt, entry, half))
		return BOUNCE_NO;
	err = bounce_rewrite(ctx, pkt, entry);
	if (!err && node)
		err = tunnel_write(ctx, pkt, entry, &node->address);
	return err ?: l2_write(ctx, &fib);
}

/* The frame in a tunnel that is one of this cluster to this node. NULL: the stack and from_overlay have to see. */
static __always_inline void *tunnel_read(void *data, void *data_end, const struct packet *tunnel, __u32 overhead)
{
	const struct vxlan_header *vxlan = data + overhead - sizeof(*vxlan);
	struct addr here;

	node_address_copy(&here, tunnel->is_v4);
	if (!addr_equal(packet_dst(tunnel), &here) || vxlan_congested(data, data_end, tunnel->is_v4))
		return NULL;
	if (data + overhead + ETH_HLEN > data_end || vxlan->flags != bpf_htonl(VXLAN_FLAGS_VNI) ||
	    vxlan->vni != bpf_htonl(cfg_vni << 8))
		return NULL;
	return data + overhead;
}

/* An answer that a tunnel has brought. `pkt` is the tunnel's packet and becomes the answer. */
static __always_inline int bounce_from_tunnel(struct xdp_md *ctx, struct packet *pkt, __u32 overhead)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end, *inner;
	struct bpf_fib_lookup fib = {};
	const struct node *node;
	struct flow_entry *entry;
	struct addr from, here;
	struct flow_half *half;

	inner = tunnel_read(data, data_end, pkt, overhead);
	if (!inner)
		return BOUNCE_NO;
	addr_copy(&from, packet_src(pkt));
	__builtin_memset(pkt, 0, sizeof(*pkt));
	pkt->hook = HOOK_XDP_UPLINK;
	pkt->origin = runtime.tunnel_ifindex;
	pkt->ip_len = bpf_xdp_get_buff_len(ctx) - overhead - ETH_HLEN;
	if (!parse_plain(inner, data_end, ((struct ethhdr *)inner)->h_proto, pkt))
		return BOUNCE_NO;
	/* What pods send each other is addressed to them, and needs no lookup to be left alone. */
	node_address_copy(&here, pkt->is_v4);
	if (!addr_equal(packet_dst(pkt), &here) || !pkt->origin)
		return BOUNCE_NO;
	entry = bounce_find(pkt, pkt->origin);
	if (!entry || !bounce_translates(pkt, entry) || !bounce_may_change(inner, data_end, pkt))
		return BOUNCE_NO;
	half = &entry->half[pkt->dir & 1];
	if (half->delivery != FLOW_TO_UPLINK)
		return BOUNCE_NO;
	node = node_lookup(half->from_node);
	if (!node || !addr_equal(&node->address, &from))
		return BOUNCE_NO;
	fib_ask(&fib, pkt->is_v4, pkt->l4_proto, &entry->to.src, &entry->to.dst);
	if (!bounce_way(ctx, &fib, data) || !flow_touch(pkt, entry, half))
		return BOUNCE_NO;
	if (bpf_xdp_adjust_head(ctx, overhead))
		return -DROP_REWRITE;
	return bounce_rewrite(ctx, pkt, entry) ?: l2_write(ctx, &fib);
}

/* 0: the frame is ready to go out of the uplink that has brought it. */
static __always_inline int bounce(struct xdp_md *ctx, struct packet *pkt)
{
	be16 first = pkt->key.port[0], second = pkt->key.port[1];

	if (!cfg_overlay || pkt->l4_proto != IPPROTO_UDP || (pkt->dir ? first : second) != bpf_htons(cfg_tunnel_port))
		return bounce_from_world(ctx, pkt);
	return pkt->is_v4 ? bounce_from_tunnel(ctx, pkt, TUNNEL_OVERHEAD_V4) :
			    bounce_from_tunnel(ctx, pkt, TUNNEL_OVERHEAD_V6);
}

#endif
