/* The slow path of what comes from the world (lib/route.h has that of pods): outside clients of Services, and answers to what
 * this node has sent there under its own address. All else that an uplink brings is the node's own, and none of ours. */
#ifndef SLUICE_BPF_OUTSIDE_H
#define SLUICE_BPF_OUTSIDE_H

#include "lib/common.h"
#include "lib/config.h"
#include "lib/flow.h"
#include "lib/ipcache.h"
#include "lib/masquerade.h"
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/route.h"
#include "lib/vlan.h"

/* Frames for this node, in the uplink's own network: those in a VLAN are another interface's. */
static __always_inline bool uplink_brings(const struct __sk_buff *skb)
{
	return ctx_load(skb, pkt_type) == PACKET_HOST && !vlan_tagged(skb);
}

/* The packet is for a pod of this node, whose packets uplinks bring. */
static __always_inline bool pod_addressed(const struct packet *pkt)
{
	struct addr dst;

	addr_copy(&dst, &pkt->key.addr[!(pkt->dir & 1)]);
	return cfg_native && endpoint_lookup(&dst);
}

/* What is the node's own at a glance: tunnels, and echo requests, whose answers may have a pod's identifier. */
__noinline int uplink_skips(const struct packet *pkt)
{
	if (!pkt)
		return true;
	if (cfg_overlay && pkt->l4_proto == IPPROTO_UDP && pkt->key.port[!(pkt->dir & 1)] == bpf_htons(cfg_tunnel_port))
		return true;
	return proto_is_icmp(pkt->is_v4, pkt->l4_proto) && pkt->icmp_type == (pkt->is_v4 ? ICMPV4_ECHO : ICMPV6_ECHO) &&
	       !pod_addressed(pkt);
}

/* Who has the source address: a pod of the cluster does not come by an uplink where its packets come by tunnels. */
static __always_inline bool source_forged(const struct addr *src)
{
	const struct ipcache_entry *entry;

	if (endpoint_lookup(src))
		return true;
	entry = cfg_overlay ? ipcache_lookup(src) : NULL;
	return entry && entry->node && ipcache_identity(entry, runtime.epoch) != IDENTITY_REMOTE_NODE &&
	       node_tunnelled(entry->node);
}

/* The same for what goes to a pod as it is, which the host's stack has not looked at. What policy always lets in, this
 * node's own, does not come from outside. */
static __always_inline bool source_forged_to_pod(const struct addr *src, __u32 generation)
{
	const struct ipcache_entry *entry = ipcache_lookup(src);

	return addr_is_gateway(src) || source_forged(src) ||
	       (entry && ipcache_identity(entry, generation) == IDENTITY_HOST);
}

/* The packet is of a connection that goes on between the world and a pod, or is for a pod itself, or for a Service that
 * outside clients may use. `known` is the entry of its connection, where that goes on. */
__noinline int uplink_concerns(const struct packet *pkt, const struct flow_entry *known)
{
	const struct service *service;
	struct addr src, dst;
	__u8 dir;

	if (!pkt)
		return false;
	dir = pkt->dir & 1;
	addr_copy(&src, &pkt->key.addr[dir]);
	if (known) {
		const struct flow_half *half = &known->half[dir];

		/* Without an origin: written again by its partner (flow_partner_refresh). */
		if (half->origin == FLOW_ORIGIN_UPLINK)
			return true;
		return (known->flags & FLOW_TRANSLATED) && (known->met & 1) == dir && !half->origin &&
		       !source_forged(&src);
	}
	if (pkt->is_icmp_error)
		return false;
	if (pod_addressed(pkt))
		return true;
	if (!runtime.has_services)
		return false;
	addr_copy(&dst, &pkt->key.addr[!dir]);
	service = service_find(&dst, pkt->key.port[!dir], pkt->key.proto);
	return service && (service->flags & SERVICE_OUTSIDE) && !source_forged(&src);
}

/* Traffic policies are about clients from outside of the cluster. */
static __always_inline __u32 client_from(const struct addr *src, __u32 generation)
{
	const struct ipcache_entry *entry = ipcache_lookup(src);
	__u32 identity;

	if (!entry)
		return CLIENT_OUTSIDE;
	identity = ipcache_identity(entry, generation);
	return entry->node || (identity != IDENTITY_UNKNOWN && identity != IDENTITY_WORLD) ? 0 : CLIENT_OUTSIDE;
}

/* A packet that an uplink has brought and that concerns us, of a connection that is not decided. `known` is its entry,
 * where it goes on. */
__noinline int decide_from_uplink(struct __sk_buff *skb, struct packet *pkt, struct flow_entry *known)
{
	struct decision *decision;
	struct addr src;
	int err;

	if (!pkt)
		return -DROP_INTERNAL;
	decision = decision_begin(pkt);
	if (!decision)
		return -DROP_INTERNAL;
	addr_copy(&src, packet_src(pkt));
	addr_copy(&decision->source.addr, &src);
	decision->source.place = PLACE_UPLINK;
	decision->source.via = skb->ifindex;
	decision->continues = known;
	err = translation_decide(pkt, &known, decision, client_from(&src, decision->generation));
	if (err)
		return err;
	/* Datagrams leave an endpoint that does not serve any more. */
	if (!known)
		decision->continues = false;
	if (!known && !(decision->entry.flags & FLOW_TRANSLATED) && source_forged_to_pod(&src, decision->generation))
		return -DROP_SOURCE_FORGED;
	target_find(pkt, decision);
	target_place(decision, known, pkt->dir & 1);
	return connection_judge(skb, pkt, known, decision);
}

/* Where an outside client is sent on to. An endpoint on this node answers the client itself, in both traffic policies; one
 * that is elsewhere would not come by here, unless the client is this node to it, and where that is configured it need not
 * (lib/direct.h). */
__noinline int place_from_uplink(struct __sk_buff *skb, const struct packet *pkt)
{
	struct decision *decision = decision_here();
	const struct ipcache_entry *entry;
	struct end *target;
	struct addr dst;

	if (!pkt || !decision)
		return -DROP_INTERNAL;
	target = &decision->target;
	if (decision->continues || target->place == PLACE_POD)
		return 0;
	addr_copy(&dst, &decision->source.addr);
	if (target->place == PLACE_NODE && cfg_direct && client_from(&dst, decision->generation)) {
		decision->entry.flags = FLOW_DIRECT;
		return 0;
	}
	if (target->place == PLACE_NODE)
		return source_translate(pkt, decision, skb->ifindex);
	addr_copy(&dst, &target->addr);
	entry = ipcache_lookup(&dst);
	if (entry && ipcache_identity(entry, decision->generation) == IDENTITY_HOST)
		return -DROP_NODE_BACKEND;
	target->via = uplink_towards(skb, pkt, &dst);
	if (!target->via)
		return -DROP_NO_UPLINK;
	target->place = PLACE_UPLINK;
	return source_translate(pkt, decision, target->via);
}

#endif
