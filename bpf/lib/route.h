/* The slow path's decision: who may send what where, and where each end is (lib/way.h). Both directions of a connection are
 * decided at its first packet, into the entries that flow_write and claim then keep. Reads `endpoints` and `ipcache`;
 * writes `decision_scratch`. */
#ifndef SLUICE_BPF_ROUTE_H
#define SLUICE_BPF_ROUTE_H

#include "lib/balance.h"
#include "lib/common.h"
#include "lib/config.h"
#include "lib/endpoint.h"
#include "lib/flow.h"
#include "lib/ipcache.h"
#include "lib/judge.h"
#include "lib/masquerade.h"
#include "lib/neighbour.h"
#include "lib/packet.h"
#include "lib/tunnel.h"

static __always_inline struct decision *decision_begin(const struct packet *pkt)
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
	decision->dir = pkt->dir & 1;
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

static __always_inline bool flow_answered(const struct packet *pkt, const struct flow_entry *entry)
{
	return flow_state(pkt->key.proto, &entry->half[0], &entry->half[1]) != FLOW_OPENING;
}

/* A connection that has an endpoint keeps it as long as it lives; datagrams leave a backend that does not
 * serve any more. Else a new connection to a Service gets its backend here, and so does one that has asked in vain
 * before the Service was there. */
static __always_inline int translation_decide(const struct packet *pkt, struct flow_entry **known,
					      struct decision *decision, __u32 from)
{
	struct flow_entry *entry = *known;
	const __u8 dir = pkt->dir & 1;
	const bool chosen = entry && entry->flags;
	int err;

	if (chosen && (entry->met & 1) != dir)
		return -DROP_TUPLE_IN_USE;
	if (entry && !entry->service && entry->initiator == dir && !pkt->is_icmp_error && !flow_answered(pkt, entry)) {
		err = balance(pkt, decision, from);
		if (err || (decision->entry.flags & FLOW_TRANSLATED)) {
			*known = NULL;
			return err;
		}
	}
	if (chosen) {
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
	addr_copy(&decision->target.addr, decision->entry.flags ? &decision->entry.to.dst : packet_dst(pkt));
	end_find(&decision->target, decision->generation);
}

/* The other node whose tunnel leads to the target; 0: none. Nodes themselves are reached without one, but for the answers to
 * what has come from one by its tunnel (it has translated an outside client's address to its own). */
static __always_inline __u32 node_behind(const struct end *target, __u8 delivery, __u32 generation)
{
	const struct ipcache_entry *entry;
	struct addr addr;

	if (!cfg_overlay)
		return 0;
	addr_copy(&addr, &target->addr);
	entry = ipcache_lookup(&addr);
	if (!entry || (ipcache_identity(entry, generation) == IDENTITY_REMOTE_NODE && delivery != FLOW_TO_TUNNEL))
		return 0;
	return node_tunnelled(entry->node) ? entry->node : 0;
}

/* The address is another node's pod's, to which routes lead. */
static __always_inline bool pod_routed(const struct addr *address, __u32 generation)
{
	const struct ipcache_entry *entry = cfg_native ? ipcache_lookup(address) : NULL;

	return entry && entry->node && ipcache_identity(entry, generation) != IDENTITY_REMOTE_NODE &&
	       !node_tunnelled(entry->node);
}

/* Where the target is, as far as that does not depend on where the packet comes from. A packet of a known
 * connection goes on to where those before it went. */
static __always_inline void target_place(struct decision *decision, const struct flow_entry *known, __u8 dir)
{
	struct end *target = &decision->target;
	__u8 delivery = FLOW_UNDECIDED;
	__u32 egress = 0;

	if (known) {
		barrier_var(
			known); /* clang computes the half's address ahead of the test, which the verifier refuses */
		delivery = known->half[dir].delivery;
		egress = known->half[dir].egress_ifindex;
	}

	if (target->pod.ifindex) {
		target->place = PLACE_POD;
	} else if ((target->via = node_behind(target, delivery, decision->generation))) {
		target->place = PLACE_NODE;
	} else if (delivery == FLOW_TO_UPLINK) {
		target->place = PLACE_UPLINK;
		target->via = egress;
	}
}

/* Asks policy about the connection that this packet belongs to. */
static __always_inline int connection_judge(struct __sk_buff *skb, struct packet *pkt, const struct flow_entry *known,
					    struct decision *decision)
{
	const __u8 dir = pkt->dir & 1;
	be16 port;

	if (!decision->source.policy.egress && !decision->source.policy.ingress && !decision->target.policy.egress &&
	    !decision->target.policy.ingress)
		return 0;
	if (known && (known->initiator & 1) != dir)
		return judge(skb, pkt, decision, pkt->key.port[dir], false);
	port = decision->entry.flags ? decision->entry.to.dport : pkt->key.port[!dir];
	return judge(skb, pkt, decision, port, true);
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
	decision = decision_begin(pkt);
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

/* Where the packet goes to. `known` is the entry that was looked up. */
__noinline int place_from_pod(struct __sk_buff *skb, const struct packet *pkt, const struct flow_entry *known)
{
	struct decision *decision = decision_here();
	struct addr dst;
	__u32 uplink;
	bool routed;
	__u8 dir;

	if (!pkt || !decision)
		return -DROP_INTERNAL;
	if (!decision->continues)
		known = NULL;
	dir = pkt->dir & 1;
	decision->source.place = PLACE_POD;
	target_place(decision, known, dir);
	/* An answer goes the way that the question came: the stack may have translated addresses (a host port, say). */
	if (decision->target.place == PLACE_POD && known && (known->initiator & 1) != dir &&
	    (known->half[!dir].origin & FLOW_ORIGIN_HOST))
		decision->target.place = PLACE_STACK;
	if (decision->target.place != PLACE_STACK || pkt->is_icmp_error)
		return 0;
	addr_copy(&dst, &decision->target.addr);
	routed = pod_routed(&dst, decision->generation);
	/* What has begun by the stack goes on by it; what went by a tunnel to what is routed now, does not. */
	if (known && !(routed && known->half[dir].delivery == FLOW_TO_TUNNEL))
		return 0;
	if (!routed && !masqueraded(pkt, &dst, decision->generation))
		return 0;
	uplink = uplink_towards(skb, pkt, &dst);
	if (!uplink)
		return 0;
	decision->target.place = PLACE_UPLINK;
	decision->target.via = uplink;
	return routed ? 0 : source_translate(pkt, decision, uplink);
}

/* A packet that the host's stack sends to a pod, of a connection that is not decided. */
__noinline int decide_to_pod(struct __sk_buff *skb, struct packet *pkt, struct flow_entry *known)
{
	struct decision *decision;
	int err;
	__u8 dir;

	if (!pkt)
		return -DROP_INTERNAL;
	dir = pkt->dir & 1;
	if (!addr_is_unicast(packet_dst(pkt)))
		return -DROP_NOT_UNICAST;
	decision = decision_begin(pkt);
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

	decision->target.place = PLACE_POD;
	/* An error from somewhere on the way may outlive what is known of its connection; the pod's own stack judges it. */
	decision->forgotten = pkt->is_icmp_error && !known;
	decision->continues = known;
	return 0;
}

/* True where another program has decided this packet on its way into the stack or this interface's qdisc (it is through_stack
 * or shaped): it was checked and counted there. */
static __always_inline bool decided_in_from_pod(const struct __sk_buff *skb, const struct packet *pkt,
						const struct flow_entry *known)
{
	const struct flow_half *half;

	if (!known)
		return false;
	half = &known->half[pkt->dir & 1];
	return half->egress_ifindex == skb->ifindex && half->origin != (skb->ifindex | FLOW_ORIGIN_HOST) &&
	       half->epoch == runtime.epoch;
}

#endif
