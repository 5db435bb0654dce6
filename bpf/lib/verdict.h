/* The ways out of a program: drop() counts, tells the observers and, where a router owes one, the sender; reply() sends
 * back to the pod what the program has made of its packet; flow_apply() does what was decided for the flow. TC_ACT_* and
 * the redirects appear here only. */
#ifndef SLUICE_BPF_VERDICT_H
#define SLUICE_BPF_VERDICT_H

#include "lib/common.h"
#include "lib/direct.h"
#include "lib/event.h"
#include "lib/flow.h"
#include "lib/hop.h"
#include "lib/icmp.h"
#include "lib/metrics.h"
#include "lib/nat.h"
#include "lib/packet.h"
#include "lib/reject.h"
#include "lib/runtime.h"
#include "lib/tunnel.h"

/* Back to who has sent it: into the pod behind this interface, as if it came from its gateway, or out of the uplink. A
 * question may have been a broadcast. */
static __always_inline int reply(struct __sk_buff *skb, const struct packet *pkt)
{
	if (pkt->hook == HOOK_FROM_UPLINK)
		return bpf_redirect(skb->ifindex, 0);
	bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(skb->ifindex, 0);
}

/* Answers to what the stack sends to a pod go into the stack as if from the pod, past from_pod: the flow that it would make
 * of them, with the pod as the one who began, would let in what was just denied. The mark is believed, since a packet
 * loses it on its way out of a pod's network namespace. */
#define MARK_ANSWER 0x51a5a125

static __always_inline bool is_own_answer(struct __sk_buff *skb)
{
	if (skb->mark != MARK_ANSWER)
		return false;
	skb->mark = 0;
	return true;
}

/* Back through the tunnel that brought the packet. */
static __always_inline int reply_by_tunnel(struct __sk_buff *skb)
{
	const struct decision *decision = decision_here();
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;

	if (!decision || data + ETH_HLEN > data_end)
		return TC_ACT_SHOT;
	tunnel_l2_copy(data);
	return tunnel_enter(skb, decision->source.via, false) ? TC_ACT_SHOT : bpf_redirect(skb->ifindex, 0);
}

/* Back to who has sent the packet that has become its answer. */
static __always_inline int reply_to_sender(struct __sk_buff *skb, const struct packet *pkt)
{
	if (pkt->hook == HOOK_FROM_OVERLAY)
		return reply_by_tunnel(skb);
	if (pkt->hook != HOOK_TO_POD)
		return reply(skb, pkt);
	skb->mark = MARK_ANSWER;
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

/* Policy in reject mode tells whoever asked. What is wrong with a packet else, only a pod is told: what comes out of the
 * stack is the stack's to answer. */
static __always_inline bool sender_is_told(const struct packet *pkt, __u32 reason)
{
	if (pkt->reject)
		return true;
	if (pkt->hook == HOOK_FROM_OVERLAY)
		return false;
	if (reason == DROP_TTL_EXPIRED || reason == DROP_TOO_BIG)
		return true;
	return pkt->hook != HOOK_TO_POD && reason == DROP_NO_BACKEND;
}

/* On to whoever comes next: other tc programs, the interface's qdiscs, the host's stack. */
static __always_inline int pass(void)
{
	return TC_ACT_UNSPEC;
}

__noinline int drop(struct __sk_buff *skb, struct packet *pkt, int err)
{
	const __u32 reason = -err & (DROP_REASON_MAX - 1);

	if (!pkt)
		return TC_ACT_SHOT;
	metric_count(reason, pkt->hook, skb->len);
	if (runtime.observers)
		event_packet(skb, pkt, NULL, event_kind(EVENT_DROPPED, reason));
	if (!sender_is_told(pkt, reason))
		return TC_ACT_SHOT;
	if (pkt->l4_proto == IPPROTO_TCP && (reason == DROP_NO_BACKEND || pkt->reject))
		err = tcp_reset(skb, pkt);
	else
		err = icmp_error(skb, pkt, reason);
	return err ? TC_ACT_SHOT : reply_to_sender(skb, pkt);
}

/* How a packet that is longer than the MTU goes on: 0 as it is (its segments will fit), 1 through the stack, which
 * fragments it (RFC 791, 2.3; only IPv4 without "don't fragment"), or not at all: nobody is there who could fragment what
 * leaves by an uplink. */
__noinline int mtu_exceeded(struct __sk_buff *skb, struct packet *pkt, __u32 mtu, __u32 delivery)
{
	__u8 data_offset;
	__u16 fragment;
	__u32 segment;

	if (!pkt)
		return -DROP_INTERNAL;
	segment = skb->gso_size + pkt->l4_off - ETH_HLEN;
	if (skb->gso_size) {
		if (pkt->l4_proto != IPPROTO_TCP)
			segment += sizeof(struct udphdr);
		else if (!bpf_skb_load_bytes(skb, pkt->l4_off + 12, &data_offset, sizeof(data_offset)))
			segment += (data_offset >> 4) * 4;
		if (segment <= mtu)
			return 0;
	}
	if (pkt->is_v4 && delivery != FLOW_TO_UPLINK) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, frag_off), &fragment, sizeof(fragment)))
			return -DROP_PARSE_SHORT;
		if (!(fragment & bpf_htons(IPV4_DONT_FRAGMENT)))
			return 1;
	}
	pkt->too_big_mtu = mtu;
	return -DROP_TOO_BIG;
}

/* One hop less to live, and the MAC addresses of the way out. */
static __always_inline int headers_rewrite(struct __sk_buff *skb, const struct packet *pkt,
					   const struct flow_entry *entry, const struct flow_half *half)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	int err = hop_take(data, data_end, pkt->is_v4);

	if (err)
		return err;
	if (half->delivery == FLOW_TO_TUNNEL)
		tunnel_l2_write(data, entry);
	else
		__builtin_memcpy(data, &half->l2_out, sizeof(half->l2_out));
	return 0;
}

/* The packet goes on to the tunnel device, at whose egress it is, by the tunnel that was decided. It is the node's own: of its
 * hops and its size the stack has taken care; what over another family's tunnel is too big all the same goes in fragments. */
static __always_inline int tunnel_apply(struct __sk_buff *skb, struct packet *pkt, const struct flow_entry *entry)
{
	const struct flow_half *half = &entry->half[pkt->dir & 1];
	void *data = (void *)(long)skb->data;
	int err;

	if (data + ETH_HLEN > (void *)(long)skb->data_end)
		return drop(skb, pkt, -DROP_PARSE_SHORT);
	tunnel_l2_copy(data);
	err = tunnel_enter(skb, half->node, pkt->ip_len > half->mtu);
	if (err)
		return drop(skb, pkt, err);
	metric_count(DROP_NONE, pkt->hook, skb->len);
	if (unlikely(runtime.packet_observers))
		event_packet(skb, pkt, entry, event_kind(EVENT_PACKET, DROP_NONE));
	return pass();
}

static __always_inline int flow_apply(struct __sk_buff *skb, struct packet *pkt, const struct flow_entry *entry)
{
	const struct flow_half *half = &entry->half[pkt->dir & 1];
	bool to_stack = half->delivery == FLOW_TO_STACK, fragmented = false;
	int err = 0;

	if (!to_stack && unlikely(pkt->ip_len > half->mtu)) {
		err = mtu_exceeded(skb, pkt, half->mtu, half->delivery);
		fragmented = err > 0;
		to_stack = fragmented && half->delivery != FLOW_TO_TUNNEL;
	}
	if (!to_stack) {
		if (err < 0 || (err = headers_rewrite(skb, pkt, entry, half)))
			return drop(skb, pkt, err);
	}
	/* Last, so that an ICMP error about the packet quotes it as its sender knows it. */
	if (unlikely(entry->flags & FLOW_TRANSLATED) && (entry->met & 1) == (pkt->dir & 1)) {
		err = translate(skb, pkt, &entry->to);
		if (err)
			return drop(skb, pkt, err);
	}
	if (half->delivery == FLOW_TO_TUNNEL) {
		err = tunnel_enter(skb, half->node, fragmented);
		if (err)
			return drop(skb, pkt, err);
	}
	metric_count(DROP_NONE, pkt->hook, skb->len);
	if (unlikely(runtime.packet_observers))
		event_packet(skb, pkt, entry, event_kind(EVENT_PACKET, DROP_NONE));
	if (to_stack)
		return pass();
	if (half->delivery == FLOW_TO_PEER)
		return bpf_redirect_peer(half->egress_ifindex, 0);
	if (half->delivery == FLOW_TO_UPLINK)
		return bpf_redirect_neigh(half->egress_ifindex, NULL, 0, 0);
	return bpf_redirect(half->egress_ifindex, 0);
}

#endif
