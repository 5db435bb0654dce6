/* Fragments. The first one of a packet records its ports, those that follow look them up (RFC 791, 3.2; RFC 8200, 4.5).
 * One that overtakes its first is dropped with a reason: the sender repeats the packet. Reads and writes `fragments`. */
#ifndef SLUICE_BPF_FRAGMENT_H
#define SLUICE_BPF_FRAGMENT_H

#include "lib/common.h"
#include "lib/metrics.h"
#include "maps/fragment.h"

/* max_entries is the default; the loader sets the configured one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
} fragments SEC(".maps");

static __always_inline void fragment_record(const struct fragment_key *key, const struct fragment_ports *ports)
{
	if (bpf_map_update_elem(&fragments, key, ports, BPF_ANY))
		counter_add(COUNTER_FRAGMENT_INSERT_FAILED);
}

static __always_inline int fragment_recall(const struct fragment_key *key, struct fragment_ports *ports)
{
	const struct fragment_ports *found = bpf_map_lookup_elem(&fragments, key);

	if (!found)
		return -DROP_FRAGMENT_UNKNOWN;
	*ports = *found;
	return 0;
}

#endif
