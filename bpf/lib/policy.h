/* Policy: may this end of the connection send to, or get from, that peer at that port (maps/policy.h)? Reads `policies`,
 * `policy_ports` and `peers`, which the agent writes. A connection is judged by the packets of its initiator: answers are
 * always allowed. */
#ifndef SLUICE_BPF_POLICY_H
#define SLUICE_BPF_POLICY_H

#include "lib/common.h"
#include "lib/metrics.h"
#include "maps/decision.h"
#include "maps/drop_reason.h"
#include "maps/ipcache.h"
#include "maps/policy.h"

/* max_entries are the defaults; the loader sets the configured ones. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct policy);
} policies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_port_key);
	__type(value, struct policy_port);
} policy_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 524288);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct peer_key);
	__type(value, struct peer_verdict);
} peers SEC(".maps");

/* The most specific entry for this port: by falling length of the prefixes that the policy has, then the one for every
 * other protocol. */
static __always_inline const struct policy_port *policy_port_lookup(__u32 id, __u32 lengths, be16 port, __u8 proto)
{
	struct policy_port_key key = { .policy = id, .proto = proto };

	for (int length = POLICY_PORT_BITS; length >= 0; length--) {
		const struct policy_port *found;

		if (!(lengths & (1U << length)))
			continue;
		key.length = length;
		key.port = port & bpf_htons(0xffff0000U >> length);
		found = bpf_map_lookup_elem(&policy_ports, &key);
		if (found)
			return found;
	}
	key.proto = 0;
	key.length = 0;
	key.port = 0;
	return bpf_map_lookup_elem(&policy_ports, &key);
}

static __always_inline void policy_ask(struct peer_verdict *said, __u32 set, __u32 peer_class)
{
	struct peer_key key = { .set = set, .peer_class = peer_class };
	const struct peer_verdict *found = bpf_map_lookup_elem(&peers, &key);

	if (found)
		policy_combine(said, found);
}

/* 0: allowed, else 1. `answer` is zeroed. A policy that is gone denies: its endpoints are given
 * their new one before. */
__noinline int policy_denies(__u32 id, __u32 identity, __u32 blocks, __u32 port_and_proto, struct policy_answer *answer)
{
	const be16 port = port_and_proto >> 8;
	const __u8 proto = port_and_proto;
	const struct tier_verdict *deciding;
	const struct policy_port *entry;
	const struct policy *policy;
	struct peer_verdict said = {};
	__u32 flags;

	if (!answer)
		return 1;
	policy = bpf_map_lookup_elem(&policies, &id);
	if (!policy || !(policy->flags & POLICY_IN_FORCE))
		return 1;
	flags = policy->flags;
	entry = policy_port_lookup(id, policy->port_lengths, port, proto);
	if (entry) {
		said = entry->everyone;
		if (entry->set) {
			policy_ask(&said, entry->set, identity);
			if (blocks)
				policy_ask(&said, entry->set, blocks);
		}
	}
	deciding = policy_deciding_tier(&said, flags);
	answer->rule = deciding->rule;
	answer->tier = policy_tier_of(&said, deciding);
	answer->verdict = deciding->verdict;
	answer->flags = flags;
	return !policy_allows(deciding, flags);
}

#endif
