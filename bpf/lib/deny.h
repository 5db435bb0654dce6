/* The deny list: sources whose packets no uplink lets in. Reads `denied` (maps/deny.h), which the loader writes. It is asked
 * first of all, in xdp_uplink and, since that need not be there, in from_uplink; while the list is empty
 * (runtime.has_denied) nobody asks. */
#ifndef SLUICE_BPF_DENY_H
#define SLUICE_BPF_DENY_H

#include "lib/common.h"
#include "lib/packet.h"
#include "maps/deny.h"

/* max_entries is the default; the loader sets the configured one. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct denied_key);
	__type(value, __u32);
} denied SEC(".maps");

static __always_inline bool source_denied(const struct packet *pkt)
{
	const struct addr *src = packet_src(pkt);
	struct denied_key key = { .prefix_len = 128 };
	const __u32 *value;

	for (int i = 0; i < 4; i++)
		key.word[i] = src->word[i];
	value = bpf_map_lookup_elem(&denied, &key);
	return value && *value == DENIED_YES;
}

#endif
