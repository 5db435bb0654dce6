/* The slow path's decision: who may send what where, and which way it goes. Both directions of a connection are decided
 * at its first packet, into the entry that flow_write then keeps. Reads `endpoints`; writes `flow_scratch`. */
#ifndef SLUICE_BPF_ROUTE_H
#define SLUICE_BPF_ROUTE_H

#include "lib/common.h"
#include "lib/config.h"
#include "lib/endpoint.h"
#include "lib/flow.h"
#include "lib/neighbour.h"
#include "lib/packet.h"

static __always_inline void l2_set(struct l2_pair *l2, const __u8 *dst, const __u8 *src)
{
	__builtin_memcpy(l2->dst, dst, sizeof(l2->dst));
	__builtin_memcpy(l2->src, src, sizeof(l2->src));
}

/* The half of packets that go from the pod `from` to the pod `to`, both of this node. */
static __always_inline void half_between(struct flow_half *half, const struct endpoint *from, const struct endpoint *to,
					 const __u8 *host_mac)
{
	half->origin = from->ifindex;
	half->egress_ifindex = to->ifindex;
	l2_set(&half->l2_in, host_mac, from->pod_mac);
	l2_set(&half->l2_out, to->pod_mac, host_mac);
	if ((from->flags | to->flags) & ENDPOINT_THROUGH_STACK) {
		half->delivery = FLOW_TO_STACK;
		return;
	}
	half->delivery = to->flags & ENDPOINT_SHAPED ? FLOW_TO_DEVICE : FLOW_TO_PEER;
	half->mtu = to->mtu;
}

/* The two halves between a pod and whoever is behind the host's stack. */
static __always_inline void halves_with_stack(struct flow_half *sent, struct flow_half *received,
					      const struct endpoint *pod, const __u8 *host_mac)
{
	sent->origin = pod->ifindex;
	sent->delivery = FLOW_TO_STACK;
	l2_set(&sent->l2_in, host_mac, pod->pod_mac);
	received->origin = pod->ifindex | FLOW_ORIGIN_HOST;
	received->delivery = FLOW_TO_STACK;
}

static __always_inline struct flow_entry *decision_begin(void)
{
	/* Read before what is decided by it: a change meanwhile leaves the decision stale, not wrong. */
	__u32 epoch = runtime.epoch;
	struct flow_entry *fresh = flow_scratch_entry();

	if (!fresh)
		return NULL;
	__builtin_memset(fresh, 0, sizeof(*fresh));
	fresh->half[0].epoch = epoch;
	fresh->half[1].epoch = epoch;
	return fresh;
}

/* A packet that a pod sends, of a connection that is not decided. */
__noinline int decide_from_pod(struct __sk_buff *skb, struct packet *pkt, struct flow_entry *known)
{
	const struct endpoint *source, *target;
	struct flow_entry *fresh;
	struct addr src, dst;
	__u8 host_mac[6], dir;
	int err;

	if (!pkt)
		return -DROP_INTERNAL;
	dir = pkt->dir & 1;
	addr_copy(&src, packet_src(pkt));
	addr_copy(&dst, packet_dst(pkt));
	if (is_neighbour_solicitation(pkt))
		return -DROP_NEIGHBOUR;
	if (!addr_is_unicast(&dst))
		return -DROP_NOT_UNICAST;
	if (addr_is_link_local(&dst) || addr_is_link_local(&src))
		return -DROP_LINK_LOCAL;
	fresh = decision_begin();
	if (!fresh)
		return -DROP_INTERNAL;
	source = endpoint_lookup(&src);
	err = source_check(skb, source);
	if (err)
		return err;
	if (known && !flow_continues(pkt, known))
		known = NULL;
	if (pkt->is_icmp_error && !known)
		return -DROP_ICMP_UNRELATED;

	host_mac_copy(host_mac);
	target = endpoint_lookup(&dst);
	/* An answer goes the way that the question came: the stack may have translated addresses (a host port, say). */
	if (known && (known->initiator & 1) != dir && (known->half[!dir].origin & FLOW_ORIGIN_HOST))
		target = NULL;
	if (target) {
		half_between(&fresh->half[dir], source, target, host_mac);
		half_between(&fresh->half[!dir], target, source, host_mac);
	} else {
		halves_with_stack(&fresh->half[dir], &fresh->half[!dir], source, host_mac);
	}
	flow_write(skb, pkt, known, fresh);
	return 0;
}

/* A packet that the host's stack sends to a pod, of a connection that is not decided. */
__noinline int decide_to_pod(struct __sk_buff *skb, struct packet *pkt, struct flow_entry *known)
{
	const struct endpoint *target;
	struct flow_entry *fresh;
	__u8 host_mac[6], dir;
	struct addr dst;

	if (!pkt)
		return -DROP_INTERNAL;
	dir = pkt->dir & 1;
	addr_copy(&dst, packet_dst(pkt));
	if (!addr_is_unicast(&dst))
		return -DROP_NOT_UNICAST;
	fresh = decision_begin();
	if (!fresh)
		return -DROP_INTERNAL;
	target = endpoint_lookup(&dst);
	if (!target || target->ifindex != skb->ifindex)
		return -DROP_NOT_THIS_POD;
	if (known && !flow_continues(pkt, known))
		known = NULL;

	host_mac_copy(host_mac);
	halves_with_stack(&fresh->half[!dir], &fresh->half[dir], target, host_mac);
	/* An error from somewhere on the way may outlive what is known of its connection; the pod's own stack judges it. */
	if (!pkt->is_icmp_error || known)
		flow_write(skb, pkt, known, fresh);
	return 0;
}

/* True where from_pod has decided this packet on its way into the stack or this interface's qdisc (it is through_stack or
 * shaped): it was checked and counted there. */
static __always_inline bool decided_in_from_pod(const struct __sk_buff *skb, const struct packet *pkt,
						const struct flow_entry *known)
{
	const struct flow_half *half;

	if (!known)
		return false;
	half = &known->half[pkt->dir & 1];
	return half->egress_ifindex == skb->ifindex && !(half->origin & FLOW_ORIGIN_HOST) &&
	       half->epoch == runtime.epoch;
}

#endif
