/* The interfaces to the world. Reads `uplinks`, which the loader writes. */
#ifndef SLUICE_BPF_UPLINK_H
#define SLUICE_BPF_UPLINK_H

#include "lib/common.h"
#include "maps/uplink.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, UPLINKS_MAX);
	__type(key, __u32);
	__type(value, struct uplink);
} uplinks SEC(".maps");

static __always_inline const struct uplink *uplink_lookup(__u32 ifindex)
{
	return bpf_map_lookup_elem(&uplinks, &ifindex);
}

#endif
