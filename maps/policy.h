/* Policy: what a pod may send to whom (egress) and get from whom (ingress). Three maps, all written by the agent only:
 *
 *   policies      array: policy id -> which lengths of port prefixes it has, and its switches
 *   policy_ports  hash: {policy id, protocol, port prefix} -> who may, for the packets of these ports
 *   peers         hash: {set of peers, class} -> what the rules of each tier say of that class
 *
 * A policy id stands for one direction of one compiled rule set; endpoints with the same rules share it, and id 0 is "no
 * rules, all may". The compiler has split the ports so that the most specific entry holds the whole answer for its ports:
 * the first hit is the answer, there is no second place to look. A packet's peer has two classes (maps/ipcache.h), its
 * identity and its block class; what is said of everyone, of the one and of the other is put together by policy_combine.
 *
 * The agent writes new entries under new numbers, then switches the endpoints to the new id and lets the epoch grow, and
 * removes the old ones then: no packet ever meets half a rule set. */
#ifndef SLUICE_MAPS_POLICY_H
#define SLUICE_MAPS_POLICY_H

#include "maps/types.h"

SLUICE_LAYOUTS_BEGIN

#define POLICY_IN_FORCE 8 /* the id is in use; without it all is denied */
#define POLICY_ISOLATES 1 /* a NetworkPolicy selects the pod for this direction: what none allows is denied */
#define POLICY_AUDIT    2 /* what is denied is counted and shown, and goes through */
#define POLICY_REJECT   4 /* what is denied is answered (RST, ICMP administratively prohibited), not only dropped */

/* The rule set of a pod whose policy is not known yet: only its node reaches it, and it reaches nobody. It is in force
 * where an agent looks after policy: the CNI plugin then gives it to new pods, and waits until the agent gives another. */
#define POLICY_INIT 1

#define POLICY_PORT_BITS 16

/* policies: value */
struct policy {
	__u32 port_lengths; /* bit n: policy_ports has entries with a port prefix of n bits, 0..16 */
	__u32 flags;        /* POLICY_* */
};
static_assert(sizeof(struct policy) == 8, "struct policy is map ABI");

/* policy_ports: key. Protocol 0 with length 0 is asked last: what holds for every protocol that has no entry. */
struct policy_port_key {
	__u32 policy;
	be16 port;  /* of the destination; the bits behind `length` are 0 */
	__u8 proto; /* IPPROTO_*; 0: every other */
	__u8 length;
};
static_assert(sizeof(struct policy_port_key) == 8, "struct policy_port_key is map ABI");

enum policy_verdict {
	POLICY_NONE = 0, /* the tier says nothing */
	POLICY_ALLOW = 1,
	POLICY_DENY = 2,
	POLICY_PASS = 3, /* admin tier: NetworkPolicy decides */
};

/* In the order in which they are asked. */
enum policy_tier {
	POLICY_TIER_ADMIN = 0,
	POLICY_TIER_NETWORK = 1, /* NetworkPolicy */
	POLICY_TIER_BASELINE = 2,
};

/* What one tier says: the verdict of the rule that comes first in it. */
struct tier_verdict {
	__u32 rule;   /* number of that rule, for people: loader/state/policy/words.hpp; 0: none */
	__u16 rank;   /* of two, the lower one comes first */
	__u8 verdict; /* enum policy_verdict */
	__u8 pad;
};

/* peers: value. The tiers of ClusterNetworkPolicy (policy.networking.k8s.io) around NetworkPolicy; the latter only allows. */
struct peer_verdict {
	struct tier_verdict admin;
	struct tier_verdict network;
	struct tier_verdict baseline;
};
static_assert(sizeof(struct peer_verdict) == 24, "struct peer_verdict is map ABI");

/* policy_ports: value */
struct policy_port {
	__u32 set; /* of peers; 0: no one beyond everyone */
	__u32 pad;
	struct peer_verdict everyone; /* what is said of all peers, whatever their class */
};
static_assert(sizeof(struct policy_port) == 32, "struct policy_port is map ABI");

/* peers: key */
struct peer_key {
	__u32 set;
	__u32 peer_class; /* an identity or a block class */
};
static_assert(sizeof(struct peer_key) == 8, "struct peer_key is map ABI");

static inline void tier_combine(struct tier_verdict *to, const struct tier_verdict *other)
{
	if (other->verdict != POLICY_NONE && (to->verdict == POLICY_NONE || other->rank < to->rank))
		*to = *other;
}

static inline void policy_combine(struct peer_verdict *to, const struct peer_verdict *other)
{
	tier_combine(&to->admin, &other->admin);
	tier_combine(&to->network, &other->network);
	tier_combine(&to->baseline, &other->baseline);
}

/* The tier whose word counts: Admin, then NetworkPolicy where one isolates the pod, else Baseline. */
static inline const struct tier_verdict *policy_deciding_tier(const struct peer_verdict *said, __u32 flags)
{
	if (said->admin.verdict == POLICY_ALLOW || said->admin.verdict == POLICY_DENY)
		return &said->admin;
	return flags & POLICY_ISOLATES ? &said->network : &said->baseline;
}

static inline enum policy_tier policy_tier_of(const struct peer_verdict *said, const struct tier_verdict *deciding)
{
	if (deciding == &said->admin)
		return POLICY_TIER_ADMIN;
	return deciding == &said->network ? POLICY_TIER_NETWORK : POLICY_TIER_BASELINE;
}

/* Where the deciding tier says nothing, an isolated pod is denied, any other allowed; so it is with a pass of the last
 * tier, behind which nobody else is asked. */
static inline int policy_allows(const struct tier_verdict *deciding, __u32 flags)
{
	if (deciding->verdict == POLICY_NONE)
		return !(flags & POLICY_ISOLATES);
	return deciding->verdict != POLICY_DENY;
}

SLUICE_LAYOUTS_END

#endif
