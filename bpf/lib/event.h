/* Events for whoever looks. Reads `observer_filters` and `observers`, writes into the ring buffers of those whose filter
 * lets the event pass. With no observer it costs one load of a global word, at the caller. */
#ifndef SLUICE_BPF_EVENT_H
#define SLUICE_BPF_EVENT_H

#include "lib/common.h"
#include "lib/metrics.h"
#include "lib/packet.h"
#include "lib/runtime.h"
#include "maps/observer.h"

/* Memory-mapped, so that an observer renews its lease without writing over what is counted as lost meanwhile. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, OBSERVER_SLOTS);
	__type(key, __u32);
	__type(value, struct observer_filter);
} observer_filters SEC(".maps");

struct observer_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, OBSERVER_RING_BYTES);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, OBSERVER_SLOTS);
	__type(key, __u32);
	__array(values, struct observer_ring);
} observers SEC(".maps");

/* The event that is being built: too large for the stack below the slow path. Programs run with bottom halves off and no
 * program of this hook runs inside another, so each CPU needs one. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_event);
} event_scratch SEC(".maps");

static __always_inline struct flow_event *event_begin(void)
{
	__u32 zero = 0;
	struct flow_event *event = bpf_map_lookup_elem(&event_scratch, &zero);

	if (event) {
		__builtin_memset(event, 0, sizeof(*event));
		event->time_ns = bpf_ktime_get_ns();
	}
	return event;
}

static __always_inline bool addr_matches(const struct addr *address, const struct observer_filter *filter)
{
	const __u64 *a = (const __u64 *)address, *mask = (const __u64 *)&filter->mask,
		    *want = (const __u64 *)&filter->address;

	return (a[0] & mask[0]) == want[0] && (a[1] & mask[1]) == want[1];
}

static __always_inline bool event_wanted(const struct observer_filter *filter, const struct flow_event *event)
{
	if (!(filter->events & (1U << (event->type & 7))) || event->time_ns > filter->lease_ns)
		return false;
	if (filter->proto && filter->proto != event->proto)
		return false;
	if (filter->reason && filter->reason != event->reason)
		return false;
	if (filter->port && filter->port != event->sport && filter->port != event->dport)
		return false;
	if (filter->ifindex && filter->ifindex != event->ifindex && filter->ifindex != event->egress_ifindex)
		return false;
	return addr_matches(&event->src, filter) || addr_matches(&event->dst, filter);
}

__noinline int event_send(struct flow_event *event)
{
	__u32 mask = runtime.observers;

	if (!event)
		return 0;
	for (__u32 slot = 0; slot < OBSERVER_SLOTS; slot++) {
		struct observer_filter *filter;
		__u32 key = slot;
		void *ring;

		if (!(mask & (1U << slot)))
			continue;
		filter = bpf_map_lookup_elem(&observer_filters, &key);
		if (!filter || !event_wanted(filter, event))
			continue;
		ring = bpf_map_lookup_elem(&observers, &key);
		if (ring && bpf_ringbuf_output(ring, event, sizeof(*event), 0)) {
			__sync_fetch_and_add(&filter->lost, 1);
			counter_add(COUNTER_EVENT_LOST);
		}
	}
	return 0;
}

static __always_inline void event_service(struct flow_event *event, const struct flow_entry *entry)
{
	event->service = entry->service;
	if (!entry->service || (entry->initiator & 1) != (entry->met & 1))
		return;
	addr_copy(&event->backend, &entry->to.dst);
	event->backend_port = entry->to.dport;
}

/* Where a packet was seen, and its whole length. */
static __always_inline __u64 event_place(__u32 ifindex, __u32 length)
{
	return (__u64)ifindex << 32 | length;
}

/* An event about the packet at hand. `entry` is that of its flow, or missing: a drop before any flow was known. */
__noinline int event_about(const struct packet *pkt, const struct flow_entry *entry, __u64 place, __u32 type_and_reason)
{
	struct flow_event *event = event_begin();

	if (!event || !pkt)
		return 0;
	event->proto = pkt->l4_proto;
	event->type = type_and_reason >> 8;
	event->reason = type_and_reason & 0xff;
	event->hook = pkt->hook;
	event->ifindex = place >> 32;
	event->length = place;
	event->tcp_flags = pkt->tcp_flags;
	addr_copy(&event->src, packet_src(pkt));
	addr_copy(&event->dst, packet_dst(pkt));
	event->sport = pkt->key.port[pkt->dir & 1];
	event->dport = pkt->key.port[!(pkt->dir & 1)];
	event->rule = pkt->rule;
	if (entry) {
		event->egress_ifindex = entry->half[pkt->dir & 1].egress_ifindex;
		event->delivery = entry->half[pkt->dir & 1].delivery;
		event_service(event, entry);
	}
	return event_send(event);
}

static __always_inline int event_packet(struct __sk_buff *skb, const struct packet *pkt, const struct flow_entry *entry,
					__u32 type_and_reason)
{
	return event_about(pkt, entry, event_place(skb->ifindex, skb->len), type_and_reason);
}

static __always_inline __u32 event_kind(enum event_type type, __u32 reason)
{
	return type << 8 | reason;
}

/* Seen at the entry of the answers: the client knows the connection by what those become. */
static __always_inline void event_untranslated(struct flow_event *event, const struct flow_entry *entry)
{
	addr_copy(&event->backend, &event->dst);
	event->backend_port = event->dport;
	addr_copy(&event->src, &entry->to.dst);
	addr_copy(&event->dst, &entry->to.src);
	event->sport = entry->to.dport;
	event->dport = entry->to.sport;
}

/* The end of a connection, with what both ends have sent. */
__noinline int event_closed(const struct packet *pkt, const struct flow_entry *entry)
{
	struct flow_event *event = event_begin();
	const struct flow_half *one, *other;
	__u8 first;

	if (!event || !pkt || !entry)
		return 0;
	first = entry->initiator & 1;
	one = &entry->half[first];
	other = &entry->half[!first];
	event->proto = pkt->key.proto;
	event->type = EVENT_CLOSED;
	event->hook = pkt->hook;
	event->ifindex = pkt->origin & ~FLOW_ORIGIN_HOST;
	event->egress_ifindex = one->egress_ifindex;
	event->tcp_flags = one->tcp_flags | other->tcp_flags;
	event->delivery = one->delivery;
	event_service(event, entry);
	event->packets[0] = one->packets;
	event->packets[1] = other->packets;
	event->bytes[0] = one->bytes;
	event->bytes[1] = other->bytes;
	addr_copy(&event->src, &pkt->key.addr[first]);
	addr_copy(&event->dst, &pkt->key.addr[!first]);
	event->sport = pkt->key.port[first];
	event->dport = pkt->key.port[!first];
	if ((entry->flags & FLOW_TRANSLATED) && (entry->met & 1) != first)
		event_untranslated(event, entry);
	return event_send(event);
}

#endif
