/* Who has an address that is no pod's of this node. Reads `ipcache`, which the agent writes. */
#ifndef SLUICE_BPF_IPCACHE_H
#define SLUICE_BPF_IPCACHE_H

#include "lib/common.h"
#include "maps/ipcache.h"

/* max_entries is the default; the loader sets the configured one. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ipcache_key);
	__type(value, struct ipcache_entry);
} ipcache SEC(".maps");

static __always_inline const struct ipcache_entry *ipcache_lookup(const struct addr *address)
{
	struct ipcache_key key = { .prefix_len = 128 };

	for (int i = 0; i < 4; i++)
		key.word[i] = address->word[i];
	return bpf_map_lookup_elem(&ipcache, &key);
}

/* `generation` is that of policy which decides. */
static __always_inline __u32 ipcache_identity(const struct ipcache_entry *entry, __u32 generation)
{
	return entry->classes[GENERATION(generation)].identity;
}

#endif
