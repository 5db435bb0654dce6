// SPDX-License-Identifier: GPL-2.0-only
/* The programs on the host's end of a pod's veth pair: from_pod at its tc ingress sees what the pod sends, to_pod at its tc
 * egress what the host's stack sends to the pod. Packets between pods of this node are decided wholly in from_pod. And
 * from_overlay at the tc ingress of the tunnel device, which sees what other nodes' pods send, to_overlay at its tc egress,
 * which sees what this node itself sends them, and from_uplink at that of
 * the interfaces to the world: one object with the others, since they share their constants and their work space. */
#include "lib/claim.h"
#include "lib/common.h"
#include "lib/deny.h"
#include "lib/direct.h"
#include "lib/flow.h"
#include "lib/neighbour.h"
#include "lib/outside.h"
#include "lib/overlay.h"
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/route.h"
#include "lib/verdict.h"
#include "lib/way.h"

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	struct packet pkt = { .hook = HOOK_FROM_POD, .origin = skb->ifindex };
	const struct flow_entry *flow = NULL;
	struct flow_entry *known;
	int err;

	err = packet_parse(skb, &pkt);
	if (likely(!err)) {
		flow = flow_lookup(skb, &pkt, &known);
		if (unlikely(!flow && is_own_answer(skb)))
			return pass();
		if (unlikely(!flow)) {
			err = decide_from_pod(skb, &pkt, known)        ?:
				      place_from_pod(skb, &pkt, known) ?:
				      ways(&pkt)                       ?:
				      claim(skb, &pkt)                 ?:
									 flow_write(skb, &pkt, known);
			flow = flow_decided();
		}
	}
	if (unlikely(err == -DROP_NEIGHBOUR || err == -DROP_NOT_IP) && !(err = neighbour_answer(skb, &pkt, err)))
		return reply(skb, &pkt);
	if (unlikely(err || !flow))
		return drop(skb, &pkt, err ?: -DROP_INTERNAL);
	return flow_apply(skb, &pkt, flow);
}

SEC("tc")
int to_pod(struct __sk_buff *skb)
{
	struct packet pkt = { .hook = HOOK_TO_POD, .origin = skb->ifindex | FLOW_ORIGIN_HOST };
	const struct flow_entry *flow = NULL;
	struct flow_entry *known;
	int err;

	err = packet_parse(skb, &pkt);
	if (likely(!err)) {
		flow = flow_lookup(skb, &pkt, &known);
		if (unlikely(!flow && decided_in_from_pod(skb, &pkt, known)))
			return pass();
		if (unlikely(!flow)) {
			err = decide_to_pod(skb, &pkt, known) ?: ways(&pkt) ?: flow_write(skb, &pkt, known);
			flow = flow_decided();
		}
	}
	if (unlikely(err || !flow))
		return drop(skb, &pkt, err ?: -DROP_INTERNAL);
	return flow_apply(skb, &pkt, flow);
}

SEC("tc")
int from_overlay(struct __sk_buff *skb)
{
	struct packet pkt = { .hook = HOOK_FROM_OVERLAY, .origin = skb->ifindex };
	const struct flow_entry *flow = NULL;
	struct flow_entry *known;
	bool named;
	int err;

	named = direct_named(skb);
	if (unlikely(named))
		bpf_skb_change_type(skb, PACKET_HOST); /* its MAC address is no interface's */
	err = packet_parse(skb, &pkt);
	if (likely(!err)) {
		flow = flow_lookup(skb, &pkt, &known);
		if (unlikely(!flow)) {
			err = named ? decide_direct(skb, &pkt, known) : decide_from_overlay(skb, &pkt, known);
			err = err ?: ways(&pkt) ?: claim(skb, &pkt) ?: flow_write(skb, &pkt, known);
			flow = flow_decided();
		}
	}
	if (unlikely(err || !flow))
		return drop(skb, &pkt, err ?: -DROP_INTERNAL);
	return flow_apply(skb, &pkt, flow);
}

SEC("tc")
int to_overlay(struct __sk_buff *skb)
{
	struct packet pkt = { .hook = HOOK_TO_OVERLAY, .origin = skb->ifindex | FLOW_ORIGIN_HOST };
	const struct flow_entry *flow = NULL;
	struct flow_entry *known;
	int err;

	if (likely(!stack_sends(skb)))
		return pass();
	err = packet_parse(skb, &pkt);
	if (likely(!err)) {
		flow = flow_lookup(skb, &pkt, &known);
		if (unlikely(!flow)) {
			err = decide_to_overlay(&pkt, known) ?: ways(&pkt) ?: flow_write(skb, &pkt, known);
			flow = flow_decided();
		}
	}
	if (unlikely(err || !flow))
		return drop(skb, &pkt, err ?: -DROP_INTERNAL);
	return tunnel_apply(skb, &pkt, flow);
}

SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
	struct packet pkt = { .hook = HOOK_FROM_UPLINK, .origin = FLOW_ORIGIN_UPLINK };
	const struct flow_entry *flow = NULL;
	struct flow_entry *known;
	int err = 0;
	bool unclear;

	/* What is none of ours goes on untouched, faulty or not: the stack has to judge it. */
	if (!uplink_brings(skb))
		return pass();
	unclear = packet_parse(skb, &pkt);
	if (unlikely(runtime.has_denied) &&
	    (!unclear ||
	     parse_addresses((void *)(long)skb->data, (void *)(long)skb->data_end, ctx_load(skb, protocol), &pkt)) &&
	    source_denied(&pkt))
		return drop(skb, &pkt, -DROP_DENIED_SOURCE);
	if (unclear || uplink_skips(&pkt))
		return pass();
	flow = flow_lookup(skb, &pkt, &known);
	if (unlikely(!flow)) {
		if (known && !flow_continues(&pkt, known))
			known = NULL;
		if (!uplink_concerns(&pkt, known))
			return pass();
		err = decide_from_uplink(skb, &pkt, known) ?:
			      place_from_uplink(skb, &pkt) ?:
			      ways(&pkt)                   ?:
			      claim(skb, &pkt)             ?:
							     flow_write(skb, &pkt, known);
		flow = flow_decided();
	}
	if (unlikely(err || !flow))
		return drop(skb, &pkt, err ?: -DROP_INTERNAL);
	return flow_apply(skb, &pkt, flow);
}

char sluice_license[] SEC("license") = "GPL";
