/* The stage of the slow path that asks policy (lib/policy.h): the egress rules of the client's pod and the ingress rules of
 * the server's, where they are pods of this node. Both must allow. The connection is judged as the server sees it: behind
 * the translation of a Service. */
#ifndef SLUICE_BPF_JUDGE_H
#define SLUICE_BPF_JUDGE_H

#include "lib/common.h"
#include "lib/endpoint.h"
#include "lib/event.h"
#include "lib/flow.h"
#include "lib/ipcache.h"
#include "lib/metrics.h"
#include "lib/packet.h"
#include "lib/policy.h"

/* Only this node speaks from a link-local address to its pods. */
static __always_inline bool addr_is_gateway(const struct addr *address)
{
	return addr_is_link_local(address) || (addr_is_v4(address) && address->word[3] == cfg_gateway_v4.word[3]);
}

static __always_inline struct address_classes end_classes(const struct end *end, __u32 generation)
{
	struct address_classes classes = { .identity = IDENTITY_WORLD };
	const struct ipcache_entry *entry;
	struct addr addr;

	if (end->pod.ifindex)
		return end->policy.classes;
	addr_copy(&addr, &end->addr);
	entry = ipcache_lookup(&addr);
	if (entry)
		classes = entry->classes[GENERATION(generation)];
	/* Last: a block that a policy names may contain it. */
	if (addr_is_gateway(&addr))
		classes.identity = IDENTITY_HOST;
	return classes;
}

/* Leaves in `answer`, which is zeroed, what was said, and in `pkt` what a drop tells of it. */
static __always_inline int judge_one(struct __sk_buff *skb, struct packet *pkt, __u32 policy,
				     struct address_classes peer, be16 port, __u32 reason, struct policy_answer *answer)
{
	answer->identity = peer.identity;
	answer->blocks = peer.blocks;
	/* A pod's own node always reaches it: kubelet's probes. */
	if (reason == DROP_POLICY_INGRESS && peer.identity == IDENTITY_HOST)
		return 0;
	answer->policy = policy;
	answer->denied = policy_denies(policy, peer.identity, peer.blocks, (__u32)port << 8 | pkt->key.proto, answer);
	if (likely(!answer->denied))
		return 0;
	pkt->rule = answer->rule;
	if (!(answer->flags & POLICY_AUDIT)) {
		pkt->reject = answer->flags & POLICY_REJECT;
		return -reason;
	}
	counter_add(COUNTER_POLICY_AUDITED);
	if (runtime.observers)
		event_packet(skb, pkt, NULL, event_kind(EVENT_AUDITED, reason));
	/* Should the packet be dropped by something else yet, that is not the rule's doing. */
	pkt->rule = 0;
	return 0;
}

/* `port` is the server's, as it sees it itself; `forward` where the packet is the client's. */
__noinline int judge(struct __sk_buff *skb, struct packet *pkt, struct decision *decision, be16 port, bool forward)
{
	const struct end *client, *server;
	int err = 0;

	if (!pkt || !decision)
		return -DROP_INTERNAL;
	client = forward ? &decision->source : &decision->target;
	server = forward ? &decision->target : &decision->source;
	/* A pod always reaches itself. */
	if (client->pod.ifindex && client->pod.ifindex == server->pod.ifindex)
		return 0;
	if (client->policy.egress)
		err = judge_one(skb, pkt, client->policy.egress, end_classes(server, decision->generation), port,
				DROP_POLICY_EGRESS, &decision->egress);
	if (!err && server->policy.ingress)
		err = judge_one(skb, pkt, server->policy.ingress, end_classes(client, decision->generation), port,
				DROP_POLICY_INGRESS, &decision->ingress);
	return err;
}

#endif
