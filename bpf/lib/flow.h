/* Flows: what was decided for a connection, found again by one lookup (maps/flow.h). Reads and writes `flows`; the slow
 * path builds new entries in `decision_scratch`.
 *
 * TCP states and time-outs follow RFC 9293, RFC 5382 (REQ-5), RFC 4787 (REQ-5) and RFC 5508 (REQ-1). Time-outs are judged
 * when an entry is looked up, so that nobody has to collect garbage: an LRU forgets what is unused when it needs room. */
#ifndef SLUICE_BPF_FLOW_H
#define SLUICE_BPF_FLOW_H

#include "lib/common.h"
#include "lib/config.h"
#include "lib/direct.h"
#include "lib/event.h"
#include "lib/metrics.h"
#include "lib/nat.h"
#include "lib/packet.h"
#include "lib/runtime.h"
#include "lib/tunnel.h"
#include "maps/decision.h"
#include "maps/flow.h"

#define FLOW_REFRESH_NS      CLOCK_NS_PER_S
#define FLOW_INSERT_ATTEMPTS 4

/* max_entries is the default; the loader sets the configured one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct flow_key);
	__type(value, struct flow_entry);
} flows SEC(".maps");

/* What the slow path is deciding: too large for the stack beside struct packet. Programs run with bottom halves off and no
 * program of this hook runs inside another, so each CPU needs one. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct decision);
} decision_scratch SEC(".maps");

static __always_inline struct decision *decision_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&decision_scratch, &zero);
}

/* The entry that the slow path has decided for this packet. */
static __always_inline const struct flow_entry *flow_decided(void)
{
	const struct decision *decision = decision_here();

	return decision ? &decision->entry : NULL;
}

/* The frame carries the MAC addresses that this direction must have. */
static __always_inline bool l2_expected(const struct __sk_buff *skb, const struct flow_half *half)
{
	const __u32 *frame = (void *)(long)skb->data, *want = (const __u32 *)&half->l2_in;

	return (void *)(frame + 3) <= (void *)(long)skb->data_end && frame[0] == want[0] && frame[1] == want[1] &&
	       frame[2] == want[2];
}

static __always_inline bool flow_expired(const struct flow_key *key, const struct flow_entry *entry, __u64 now)
{
	const struct flow_half *one = &entry->half[0], *other = &entry->half[1];
	__u64 seen = one->last_seen_ns > other->last_seen_ns ? one->last_seen_ns : other->last_seen_ns;
	enum flow_timeout timeout = flow_timeout(key->proto, flow_entry_state(key->proto, entry));

	return now > seen && now - seen > cfg_timeout_ns[timeout & (TIMEOUT_MAX - 1)];
}

/* A SYN that opens a new connection with the tuple of one that is closing (RFC 9293, 3.6.1 allows it in TIME-WAIT). */
static __always_inline bool flow_reopened(const struct packet *pkt, const struct flow_entry *entry)
{
	return (pkt->tcp_flags & (TCP_FLAG_SYN_BIT | TCP_FLAG_ACK_BIT)) == TCP_FLAG_SYN_BIT &&
	       flow_entry_state(IPPROTO_TCP, entry) >= FLOW_CLOSING;
}

/* True where the packet goes on with the connection of `entry`, and does not open a new one with the same tuple. Whoever
 * looks is told of the old one's end, unless it was when both ends had closed. */
__noinline int flow_continues(const struct packet *pkt, const struct flow_entry *entry)
{
	bool reopened;

	if (!pkt || !entry || pkt->opens)
		return false;
	reopened = flow_reopened(pkt, entry);
	if (!reopened && !flow_expired(&pkt->key, entry, bpf_ktime_get_coarse_ns()))
		return true;
	if (runtime.observers &&
	    !(pkt->key.proto == IPPROTO_TCP && flow_entry_state(IPPROTO_TCP, entry) == FLOW_CLOSED))
		event_closed(pkt, entry);
	return false;
}

/* The TCP flags of a packet, added to those that its direction has sent before. */
static __always_inline void flow_tcp_flags(const struct packet *pkt, struct flow_entry *entry)
{
	struct flow_half *half = &entry->half[pkt->dir & 1];
	enum flow_state before = flow_entry_state(IPPROTO_TCP, entry), after;

	half->tcp_flags |= pkt->tcp_flags;
	after = flow_entry_state(IPPROTO_TCP, entry);
	if (after == FLOW_CLOSED && before != FLOW_CLOSED && runtime.observers)
		event_closed(pkt, entry);
}

/* The key of the other entry of a translated connection, and the half that packets of this entry's direction would have. */
static __always_inline __u8 partner_key(struct flow_key *key, const struct flow_translation *to, __u8 proto)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->proto = proto;
	return flow_key_set(key, &to->src, &to->dst, to->sport, to->dport);
}

/* The partner of a translated connection's entry is told what this direction has sent, so that each knows the state of
 * the whole and an LRU takes neither for unused. One that was taken all the same is written again; where its packets go
 * is decided when the first one comes. */
__noinline int flow_partner_refresh(const struct packet *pkt, const struct flow_entry *entry)
{
	const struct flow_half *half;
	struct flow_entry *partner;
	struct flow_half *mirror;
	struct decision *decision;
	struct flow_key key;
	__u8 dir;

	if (!pkt || !entry)
		return 0;
	half = &entry->half[entry->met & 1];
	dir = partner_key(&key, &entry->to, pkt->key.proto);
	partner = bpf_map_lookup_elem(&flows, &key);
	if (partner) {
		if (!(partner->flags & FLOW_TRANSLATED) || (partner->met & 1) == dir)
			return 0;
		mirror = &partner->half[dir & 1];
		mirror->last_seen_ns = half->last_seen_ns;
		mirror->packets = half->packets;
		mirror->bytes = half->bytes;
		mirror->tcp_flags = half->tcp_flags;
		mirror->egress_ifindex = half->egress_ifindex;
		mirror->delivery = half->delivery;
		mirror->epoch = half->epoch;
		return 0;
	}
	decision = decision_here();
	if (!decision)
		return 0;
	decision->partner = *entry;
	decision->partner.half[dir & 1] = *half;
	decision->partner.half[dir & 1].origin = 0;
	decision->partner.half[!dir] = entry->half[!(entry->met & 1)];
	decision->partner.half[!dir].epoch = 0;
	decision->partner.met = !dir;
	decision->partner.initiator = (entry->initiator == entry->met) ? dir : !dir;
	decision->partner.to.sport = pkt->key.port[!(entry->met & 1)];
	decision->partner.to.dport = pkt->key.port[entry->met & 1];
	addr_copy(&decision->partner.to.src, &pkt->key.addr[!(entry->met & 1)]);
	addr_copy(&decision->partner.to.dst, &pkt->key.addr[entry->met & 1]);
	translation_diff(&decision->partner.to, &key, proto_is_icmp(pkt->is_v4, pkt->key.proto));
	bpf_map_update_elem(&flows, &key, &decision->partner, BPF_NOEXIST);
	return 0;
}

static __always_inline void flow_count(const struct packet *pkt, struct flow_half *half)
{
	/* An error about a flow is no packet of it: it must not make an answered one of it. */
	if (unlikely(pkt->is_icmp_error))
		return;
	half->packets++;
	half->bytes += pkt->ip_len;
}

/* Nothing was seen of this direction for a second, or the packet has TCP flags that matter: a look at the connection as a
 * whole, to which the packet is counted. False: it is over, and the packet opens a new one (pkt->opens).
 *
 * Two CPUs may both refresh a half; they write the same value but for nanoseconds. An ICMP error keeps nothing alive. */
__noinline int flow_advance(const struct packet *pkt, struct flow_entry *entry)
{
	struct flow_half *half;

	if (!pkt || !entry || !flow_continues(pkt, entry))
		return false;
	half = &entry->half[pkt->dir & 1];
	if (!pkt->is_icmp_error)
		half->last_seen_ns = bpf_ktime_get_coarse_ns();
	if (pkt->tcp_flags & ~half->tcp_flags)
		flow_tcp_flags(pkt, entry);
	flow_count(pkt, half);
	if (entry->flags & FLOW_TRANSLATED)
		flow_partner_refresh(pkt, entry);
	return true;
}

/* The packet is one of the connection's, in its decided direction. False: that is over, and the packet opens a new one. */
static __always_inline bool flow_touch(struct packet *pkt, struct flow_entry *entry, struct flow_half *half)
{
	if (unlikely(bpf_ktime_get_coarse_ns() - half->last_seen_ns > FLOW_REFRESH_NS ||
		     (pkt->tcp_flags & (__u8)(TCP_FLAG_SYN_BIT | ~half->tcp_flags)))) {
		pkt->opens = !flow_advance(pkt, entry);
		return !pkt->opens;
	}
	flow_count(pkt, half);
	return true;
}

/* The entry of the packet's connection, where its direction is decided, or NULL: it has to be decided now. `*known` is the
 * connection's entry where there is one; its halves may be stale.
 *
 * The origin says where packets of this direction come from, and the MAC addresses whose they are, so that no other pod
 * can ride on the entry. Both are looked at before the packet leaves a trace in it. */
static __always_inline const struct flow_entry *flow_lookup(struct __sk_buff *skb, struct packet *pkt,
							    struct flow_entry **known)
{
	struct flow_entry *entry = bpf_map_lookup_elem(&flows, &pkt->key);
	struct flow_half *half;

	*known = entry;
	if (!entry)
		return NULL;
	half = &entry->half[pkt->dir & 1];
	if (unlikely(half->epoch != runtime.epoch || half->origin != pkt->origin))
		return NULL;
	if (pkt->hook == HOOK_FROM_POD && unlikely(!l2_expected(skb, half)))
		return NULL;
	if (pkt->hook == HOOK_FROM_OVERLAY &&
	    unlikely(tunnel_check(skb, half->from_node) ||
		     ((entry->flags & FLOW_DIRECT) && !direct_expected(skb, &entry->to))))
		return NULL;
	return flow_touch(pkt, entry, half) ? entry : NULL;
}

/* Writes an entry that was built. Before 6.15 an update may find its bucket locked by another CPU (EBUSY), and an LRU may
 * have nothing to give up at the moment (ENOMEM). False: the table refused it. */
static __always_inline bool flow_insert(const struct flow_key *key, const struct flow_entry *entry)
{
	for (int i = 0; i < FLOW_INSERT_ATTEMPTS; i++) {
		if (i)
			counter_add(COUNTER_FLOW_INSERT_RETRIED);
		if (!bpf_map_update_elem(&flows, key, entry, BPF_ANY))
			return true;
	}
	counter_add(COUNTER_FLOW_INSERT_FAILED);
	return false;
}

static __always_inline void flow_half_redecide(struct flow_half *half, const struct flow_half *fresh)
{
	half->origin = fresh->origin;
	half->egress_ifindex = fresh->egress_ifindex;
	half->mtu = fresh->mtu;
	half->delivery = fresh->delivery;
	half->l2_in = fresh->l2_in;
	half->l2_out = fresh->l2_out;
	/* Last and by an exchange, which is a full barrier: who sees the new epoch must see the decision, too. */
	__sync_lock_test_and_set(&half->epoch, fresh->epoch);
}

static __always_inline void flow_half_begin(struct flow_half *half, const struct flow_half *fresh)
{
	half->packets = fresh->packets;
	half->bytes = fresh->bytes;
	half->last_seen_ns = fresh->last_seen_ns;
	half->tcp_flags = fresh->tcp_flags;
	flow_half_redecide(half, fresh);
}

/* The entry of a connection that is over becomes that of the new one with the same tuple: cheaper than to have the table
 * give up another for it, which a client that comes back to its ports would make it do each time. Nobody goes by it while
 * it is written. */
static __always_inline void flow_reuse(struct flow_entry *over, const struct flow_entry *fresh)
{
	over->half[0].epoch = 0;
	__sync_lock_test_and_set(&over->half[1].epoch, 0);
	over->created_ns = fresh->created_ns;
	over->service = fresh->service;
	over->initiator = fresh->initiator;
	flow_half_begin(&over->half[0], &fresh->half[0]);
	flow_half_begin(&over->half[1], &fresh->half[1]);
}

/* A connection that has an entry keeps it with its counters and its state. Of a translated one only this packet's half is
 * decided: the other way is the partner's. */
static __always_inline void flow_redecide(const struct packet *pkt, struct flow_entry *known,
					  const struct flow_entry *fresh)
{
	const bool both = !(known->flags & FLOW_TRANSLATED);

	if (both || !(pkt->dir & 1))
		flow_half_redecide(&known->half[0], &fresh->half[0]);
	if (both || (pkt->dir & 1))
		flow_half_redecide(&known->half[1], &fresh->half[1]);
	flow_advance(pkt, known);
	counter_add(COUNTER_FLOW_REDECIDED);
}

/* Writes down the decision, in whose halves only what is decided has been set. A connection that is not translated goes its
 * way without an entry, too: its next packet is decided again. One that is could not be answered, and one that is sent on to
 * an endpoint might get another with the next packet. */
__noinline int flow_write(struct __sk_buff *skb, const struct packet *pkt, struct flow_entry *known)
{
	struct decision *decision = decision_here();
	struct flow_entry *fresh;
	struct flow_half *half;
	struct flow_key key;

	if (!pkt || !decision)
		return -DROP_INTERNAL;
	if (cfg_trace || decision->forgotten)
		return 0;
	fresh = &decision->entry;
	if (known && decision->continues) {
		flow_redecide(pkt, known, fresh);
		return 0;
	}
	half = &fresh->half[pkt->dir & 1];
	key = pkt->key;
	half->packets = 1;
	half->bytes = pkt->ip_len;
	half->tcp_flags = pkt->tcp_flags;
	half->last_seen_ns = bpf_ktime_get_coarse_ns();
	fresh->created_ns = half->last_seen_ns;
	fresh->initiator = pkt->dir & 1;
	if (known && !known->flags && !fresh->flags) {
		flow_reuse(known, fresh);
		counter_add(COUNTER_FLOW_CREATED);
	} else if (flow_insert(&key, fresh)) {
		counter_add(COUNTER_FLOW_CREATED);
	} else if (fresh->flags) {
		key = decision->partner_key; /* what it has claimed, if it has, is free again */
		bpf_map_delete_elem(&flows, &key);
		return -DROP_FLOW_TABLE;
	}
	if (runtime.observers)
		event_packet(skb, pkt, fresh, event_kind(EVENT_NEW, DROP_NONE));
	return 0;
}

#endif
