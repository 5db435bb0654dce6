/* The nodes of the cluster. Reads `nodes`, which the loader (this node) and the agent (the others) write. */
#ifndef SLUICE_BPF_NODE_H
#define SLUICE_BPF_NODE_H

#include "lib/common.h"
#include "lib/config.h"
#include "maps/node.h"

/* max_entries is the default; the loader sets the configured one. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct node);
} nodes SEC(".maps");

static __always_inline const struct node *node_lookup(__u32 id)
{
	return bpf_map_lookup_elem(&nodes, &id);
}

static __always_inline bool node_exists(const struct node *node)
{
	const __u64 *word = (const __u64 *)&node->address;

	return word[0] || word[1];
}

/* The way to the pods of another node, of which `id` is the number, is a tunnel, and no route. */
static __always_inline bool node_tunnelled(__u32 id)
{
	const struct node *node;

	if (!cfg_overlay || !cfg_native)
		return cfg_overlay;
	node = id == NODE_HERE ? NULL : node_lookup(id);
	return !node || !(node->flags & NODE_NATIVE);
}

#endif
