/* The slow path's decision: who may send what where, and which way it goes. Both directions of a connection are decided
 * at its first packet, into the entries that flow_write and claim then keep. Reads `endpoints`; writes `decision_scratch`. */
#ifndef SLUICE_BPF_ROUTE_H
#define SLUICE_BPF_ROUTE_H

#include "lib/balance.h"
#include "lib/common.h"
#include "lib/config.h"
#include "lib/endpoint.h"
#include "lib/flow.h"
#include "lib/ipcache.h"
#include "lib/judge.h"
#include "lib/neighbour.h"
#include "lib/packet.h"
#include "lib/tunnel.h"

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

/* The two halves between a pod and whoever is behind another node's tunnel. What the pod sends does not pass the host's
 * stack, which knows no way there. */
static __always_inline int halves_with_node(struct flow_half *sent, struct flow_half *received,
					    const struct endpoint *pod, __u32 id)
{
	const struct node *here = node_lookup(NODE_HERE), *there = node_lookup(id);
	__u8 host_mac[6];

	if (!here || !here->ifindex || !there || !node_exists(there))
		return -DROP_NO_TUNNEL;
	host_mac_copy(host_mac);
	sent->origin = pod->ifindex;
	sent->egress_ifindex = here->ifindex;
	sent->delivery = FLOW_TO_TUNNEL;
	sent->mtu = here->mtu - (addr_is_v4(&there->address) ? TUNNEL_OVERHEAD_V4 : TUNNEL_OVERHEAD_V6);
	l2_set(&sent->l2_in, host_mac, pod->pod_mac);
	sent->node = id;

	received->origin = here->ifindex;
	received->from_node = id;
	received->egress_ifindex = pod->ifindex;
	l2_set(&received->l2_out, pod->pod_mac, host_mac);
	if (pod->flags & ENDPOINT_THROUGH_STACK) {
		received->delivery = FLOW_TO_STACK;
		return 0;
	}
	received->delivery = pod->flags & ENDPOINT_SHAPED ? FLOW_TO_DEVICE : FLOW_TO_PEER;
	received->mtu = pod->mtu;
	return 0;
}

static __always_inline struct decision *decision_begin(void)
{
	/* Read before what is decided by it: a change meanwhile leaves the decision stale, not wrong. */
	__u32 epoch = runtime.epoch;
	struct decision *decision = decision_here();

	if (!decision)
		return NULL;
	__builtin_memset(decision, 0, sizeof(*decision));
	decision->entry.half[0].epoch = epoch;
	decision->entry.half[1].epoch = epoch;
	decision->generation = GENERATION(epoch);
	return decision;
}

static __always_inline void translation_keep(struct flow_entry *fresh, const struct flow_entry *known)
{
	fresh->to = known->to;
	fresh->flags = known->flags;
	fresh->met = known->met;
	fresh->initiator = known->initiator;
	fresh->service = known->service;
}

/* A connection that is translated keeps its translation as long as it lives; datagrams leave a backend that does not
 * serve any more. Else a new connection to a Service gets its backend here. */
static __always_inline int translation_decide(const struct packet *pkt, struct flow_entry **known,
					      struct decision *decision, __u32 from)
{
	struct flow_entry *entry = *known;
	const __u8 dir = pkt->dir & 1;

	if (entry && (entry->flags & FLOW_TRANSLATED)) {
		if ((entry->met & 1) != dir)
			return -DROP_TUPLE_IN_USE;
		if (pkt->key.proto != IPPROTO_UDP || entry->initiator != dir || !entry->service ||
		    backend_serves(entry->to.backend, entry->service, &entry->to.dst, entry->to.dport)) {
			translation_keep(&decision->entry, entry);
			return 0;
		}
		*known = entry = NULL;
	}
	if (entry || pkt->is_icmp_error)
		return 0;
	return balance(pkt, decision, from);
}

static __always_inline void end_find(struct end *end, __u32 generation)
{
	const struct endpoint *pod;
	struct addr addr;

	addr_copy(&addr, &end->addr);
	pod = endpoint_lookup(&addr);
	if (!pod)
		return;
	end->pod = *pod;
	end->policy = pod->policy[GENERATION(generation)];
}

/* Who is behind the destination, behind the translation where there is one. */
static __always_inline void target_find(const struct packet *pkt, struct decision *decision)
{
	addr_copy(&decision->target.addr,
		  decision->entry.flags & FLOW_TRANSLATED ? &decision->entry.to.dst : packet_dst(pkt));
	end_find(&decision->target, decision->generation);
}

/* The other node whose tunnel leads to `end`; 0: none. Nodes themselves are reached without one. */
static __always_inline __u32 node_behind(const struct end *end, __u32 generation)
{
	const struct ipcache_entry *entry;
	struct addr addr;

	if (!cfg_overlay || end->pod.ifindex)
		return 0;
	addr_copy(&addr, &end->addr);
	entry = ipcache_lookup(&addr);
	return entry && entry->classes[GENERATION(generation)].identity != IDENTITY_REMOTE_NODE ? entry->node : 0;
}

/* Asks policy about the connection that this packet belongs to. */
static __always_inline int connection_judge(struct __sk_buff *skb, struct packet *pkt, const struct flow_entry *known,
					    const struct decision *decision)
{
	const __u8 dir = pkt->dir & 1;
	be16 port;

	if (!decision->source.policy.egress && !decision->source.policy.ingress && !decision->target.policy.egress &&
	    !decision->target.policy.ingress)
		return 0;
	if (known && (known->initiator & 1) != dir)
		return judge(skb, pkt, decision, pkt->key.port[dir], false);
	port = decision->entry.flags & FLOW_TRANSLATED ? decision->entry.to.dport : pkt->key.port[!dir];
	return judge(skb, pkt, decision, port, true);
}

/* Both halves of a connection between the pod that sent the packet and its target, which is reached directly where it is a
 * pod of this node. */
static __always_inline void halves_from_pod(struct flow_half *sent, struct flow_half *received,
					    const struct decision *decision, bool direct)
{
	const struct endpoint *source = &decision->source.pod, *target = &decision->target.pod;
	__u8 host_mac[6];

	host_mac_copy(host_mac);
	if (direct) {
		half_between(sent, source, target, host_mac);
		half_between(received, target, source, host_mac);
	} else {
		halves_with_stack(sent, received, source, host_mac);
	}
}

/* A packet that a pod sends, of a connection that is not decided: whom it is for, and whether it may go there. */
__noinline int decide_from_pod(struct __sk_buff *skb, struct packet *pkt, struct flow_entry *known)
{
	struct decision *decision;
	struct addr src, dst;
	int err;

	if (!pkt)
		return -DROP_INTERNAL;
	addr_copy(&src, packet_src(pkt));
	addr_copy(&dst, packet_dst(pkt));
	if (is_neighbour_solicitation(pkt))
		return -DROP_NEIGHBOUR;
	if (!addr_is_unicast(&dst))
		return -DROP_NOT_UNICAST;
	if (addr_is_link_local(&dst) || addr_is_link_local(&src))
		return -DROP_LINK_LOCAL;
	decision = decision_begin();
	if (!decision)
		return -DROP_INTERNAL;
	addr_copy(&decision->source.addr, &src);
	end_find(&decision->source, decision->generation);
	err = source_check(skb, &decision->source.pod);
	if (err)
		return err;
	if (known && !flow_continues(pkt, known))
		known = NULL;
	if (pkt->is_icmp_error && !known)
		return -DROP_ICMP_UNRELATED;
	err = translation_decide(pkt, &known, decision, 0);
	if (err)
		return err;
	target_find(pkt, decision);
	if (!decision->target.pod.ifindex && !(decision->entry.flags & FLOW_TRANSLATED) && service_owns(&dst))
		return -DROP_NO_BACKEND;
	decision->continues = known;
	return connection_judge(skb, pkt, known, decision);
}

/* Where the packet goes, and where its answers go. `known` is the entry that was looked up. */
__noinline int way_from_pod(struct packet *pkt, const struct flow_entry *known)
{
	struct decision *decision = decision_here();
	struct flow_half *received;
	bool direct;
	__u8 dir;

	if (!pkt || !decision)
		return -DROP_INTERNAL;
	if (!decision->continues)
		known = NULL;
	dir = pkt->dir & 1;
	received = decision->entry.flags & FLOW_TRANSLATED ? &decision->answer : &decision->entry.half[!dir];
	decision->answer.epoch = decision->entry.half[dir].epoch;
	decision->node = node_behind(&decision->target, decision->generation);
	if (decision->node)
		return halves_with_node(&decision->entry.half[dir], received, &decision->source.pod, decision->node);
	direct = decision->target.pod.ifindex;
	/* An answer goes the way that the question came: the stack may have translated addresses (a host port, say). */
	if (known && (known->initiator & 1) != dir && (known->half[!dir].origin & FLOW_ORIGIN_HOST))
		direct = false;
	halves_from_pod(&decision->entry.half[dir], received, decision, direct);
	return 0;
}

/* A packet that the host's stack sends to a pod, of a connection that is not decided. */
__noinline int decide_to_pod(struct __sk_buff *skb, struct packet *pkt, struct flow_entry *known)
{
	struct decision *decision;
	__u8 host_mac[6], dir;
	int err;

	if (!pkt)
		return -DROP_INTERNAL;
	dir = pkt->dir & 1;
	if (!addr_is_unicast(packet_dst(pkt)))
		return -DROP_NOT_UNICAST;
	decision = decision_begin();
	if (!decision)
		return -DROP_INTERNAL;
	if (known && !flow_continues(pkt, known))
		known = NULL;
	if (known && (known->flags & FLOW_TRANSLATED) && (known->met & 1) == dir)
		translation_keep(&decision->entry, known);
	target_find(pkt, decision);
	if (decision->target.pod.ifindex != skb->ifindex)
		return -DROP_NOT_THIS_POD;
	addr_copy(&decision->source.addr, packet_src(pkt));
	end_find(&decision->source, decision->generation);
	err = connection_judge(skb, pkt, known, decision);
	if (err)
		return err;

	host_mac_copy(host_mac);
	halves_with_stack(&decision->entry.half[!dir], &decision->entry.half[dir], &decision->target.pod, host_mac);
	/* An error from somewhere on the way may outlive what is known of its connection; the pod's own stack judges it. */
	decision->forgotten = pkt->is_icmp_error && !known;
	decision->continues = known;
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
