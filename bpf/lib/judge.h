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

static __always_inline void end_classes(const struct end *end, __u32 *identity, __u32 *blocks)
{
	const struct ipcache_entry *entry;
	struct addr addr;

	if (end->pod.ifindex) {
		*identity = end->pod.identity;
		*blocks = end->pod.blocks;
		return;
	}
	addr_copy(&addr, &end->addr);
	entry = ipcache_lookup(&addr);
	/* The gateway first: a block that a policy names may contain it. */
	*identity = addr_is_gateway(&addr) ? IDENTITY_HOST : entry ? entry->identity : IDENTITY_WORLD;
	*blocks = entry ? entry->blocks : 0;
}

static __always_inline int judge_one(struct __sk_buff *skb, struct packet *pkt, __u32 policy, const struct end *peer,
				     be16 port, __u32 reason)
{
	struct policy_answer answer = {};
	__u32 identity, blocks;

	end_classes(peer, &identity, &blocks);
	/* A pod's own node always reaches it: kubelet's probes. */
	if (reason == DROP_POLICY_INGRESS && identity == IDENTITY_HOST)
		return 0;
	if (likely(!policy_denies(policy, identity, blocks, (__u32)port << 8 | pkt->key.proto, &answer)))
		return 0;
	pkt->rule = answer.rule;
	pkt->reject = answer.flags & POLICY_REJECT;
	if (!(answer.flags & POLICY_AUDIT))
		return -reason;
	counter_add(COUNTER_POLICY_AUDITED);
	if (runtime.observers)
		event_packet(skb, pkt, NULL, event_kind(EVENT_AUDITED, reason));
	return 0;
}

/* `port` is the server's, as it sees it itself; `forward` where the packet is the client's. */
__noinline int judge(struct __sk_buff *skb, struct packet *pkt, const struct decision *decision, be16 port,
		     bool forward)
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
	if (client->pod.egress)
		err = judge_one(skb, pkt, client->pod.egress, server, port, DROP_POLICY_EGRESS);
	if (!err && server->pod.ingress)
		err = judge_one(skb, pkt, server->pod.ingress, client, port, DROP_POLICY_INGRESS);
	return err;
}

#endif
