/* A translated connection claims the tuple that its packets have behind the translation, by writing the partner entry
 * under it only where no live connection has it: first with the client's own port, then with others, at random (RFC 6056,
 * 3.3.1), a bounded number of times. One that leaves under the node's address takes no port from the node itself. Reads and writes `flows`. */
#ifndef SLUICE_BPF_CLAIM_H
#define SLUICE_BPF_CLAIM_H

#include "lib/common.h"
#include "lib/config.h"
#include "lib/flow.h"
#include "lib/masquerade.h"
#include "lib/nat.h"
#include "lib/packet.h"

#define CLAIM_ATTEMPTS 16

/* The entry under `key` is of nobody any more, or of an earlier life of this same connection. Two CPUs may both find it so
 * and both take it: the later one wins, the other connection's answers stay away and its client tries again. */
static __always_inline bool claim_is_free(const struct packet *pkt, const struct flow_key *key)
{
	const struct flow_entry *entry = bpf_map_lookup_elem(&flows, key);
	const __u8 dir = pkt->dir & 1;

	if (!entry || flow_expired(key, entry, bpf_ktime_get_coarse_ns()))
		return true;
	if (key->proto == IPPROTO_TCP && flow_entry_state(key->proto, entry) == FLOW_CLOSED)
		return true;
	return (entry->flags & FLOW_TRANSLATED) && entry->to.sport == pkt->key.port[!dir] &&
	       entry->to.dport == pkt->key.port[dir] && addr_equal(&entry->to.src, &pkt->key.addr[!dir]) &&
	       addr_equal(&entry->to.dst, &pkt->key.addr[dir]);
}

/* Writes the partner where nobody has its key. 0: it is this connection's now; -EEXIST: another has it. The table itself may
 * refuse, as it may with any entry (flow_insert). */
__noinline int claim_write(const struct packet *pkt)
{
	/* Looked up again: before 6.3 what an argument points to is no value for a map. */
	const struct decision *decision = decision_here();
	struct flow_key key;
	int err;

	if (!pkt || !decision)
		return -DROP_INTERNAL;
	key = decision->partner_key;
	if (cfg_trace)
		return claim_is_free(pkt, &key) ? 0 : -EEXIST;
	for (int i = 0; i < FLOW_INSERT_ATTEMPTS; i++) {
		if (i)
			counter_add(COUNTER_FLOW_INSERT_RETRIED);
		err = bpf_map_update_elem(&flows, &key, &decision->partner, BPF_NOEXIST);
		if (err == -EEXIST) {
			if (!claim_is_free(pkt, &key))
				return -EEXIST;
			err = bpf_map_update_elem(&flows, &key, &decision->partner, BPF_ANY);
		}
		if (!err)
			return 0;
	}
	counter_add(COUNTER_FLOW_INSERT_FAILED);
	return -DROP_FLOW_TABLE;
}

/* Where a new connection is translated: fills and writes the partner of decision->entry, whose `to` is set but for the
 * differences; decision->answer is the half of what the server answers, decided already. */
__noinline int claim(struct __sk_buff *skb, const struct packet *pkt)
{
	struct decision *decision = decision_here();
	struct flow_translation *to, *back;
	bool one_port;
	__u8 dir;
	int err;

	if (!pkt || !decision)
		return -DROP_INTERNAL;
	if (decision->continues || !(decision->entry.flags & FLOW_TRANSLATED))
		return 0;
	dir = pkt->dir & 1;
	to = &decision->entry.to;
	back = &decision->partner.to;
	one_port = proto_is_icmp(pkt->is_v4, pkt->key.proto);
	addr_copy(&back->src, &pkt->key.addr[!dir]);
	addr_copy(&back->dst, &pkt->key.addr[dir]);
	back->sport = pkt->key.port[!dir];
	back->dport = pkt->key.port[dir];
	back->backend = to->backend;
	decision->partner.flags = decision->entry.flags;
	decision->partner.service = decision->entry.service;
	decision->partner.created_ns = bpf_ktime_get_coarse_ns();

	for (int i = 0; i < CLAIM_ATTEMPTS; i++) {
		struct flow_half *mirror;
		__u8 there;

		if (i && !one_port && !proto_has_ports(pkt->key.proto))
			break;
		if (i) {
			to->sport = source_port_random(decision);
			if (one_port)
				to->dport = to->sport;
		}
		if (decision->as_node && !source_port_free(skb, pkt, decision))
			continue;
		there = partner_key(&decision->partner_key, to, pkt->key.proto) & 1;
		decision->partner.initiator = there;
		decision->partner.met = !there;
		decision->partner.half[!there] = decision->answer;
		mirror = &decision->partner.half[there];
		__builtin_memset(mirror, 0, sizeof(*mirror));
		mirror->packets = 1;
		mirror->tcp_flags = pkt->tcp_flags;
		mirror->last_seen_ns = decision->partner.created_ns;
		mirror->egress_ifindex = decision->entry.half[dir].egress_ifindex;
		mirror->delivery = decision->entry.half[dir].delivery;
		mirror->epoch = decision->entry.half[dir].epoch;
		translation_diff(to, &pkt->key, one_port);
		translation_diff(back, &decision->partner_key, one_port);
		err = claim_write(pkt);
		if (err != -EEXIST)
			return err;
	}
	return -DROP_NO_PORT;
}

#endif
