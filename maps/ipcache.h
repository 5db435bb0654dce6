/* ipcache: who has an address that is no pod's of this node: pods of other nodes, nodes, and the blocks that policies name.
 * LPM trie; written by the agent.
 *
 * An address has two classes, which policy looks up one beside the other (maps/policy.h): its identity, which stands for
 * what is known of a pod (its labels, its namespace's, its named ports), and its block class, which stands for the set of
 * all ipBlocks that contain it. So overlapping blocks, `except` and blocks that contain pods come out right by one
 * longest-prefix lookup: each prefix that any policy names has an entry of its own, whose class knows the shorter ones. */
#ifndef SLUICE_MAPS_IPCACHE_H
#define SLUICE_MAPS_IPCACHE_H

#include "maps/runtime.h"
#include "maps/types.h"

SLUICE_LAYOUTS_BEGIN

/* Identities below 256 are reserved; the agent gives out the others, and the block classes, from one row of numbers.
 * They never leave the node. */
enum identity {
	IDENTITY_UNKNOWN = 0,
	IDENTITY_HOST = 1,        /* this node */
	IDENTITY_REMOTE_NODE = 2, /* another node of the cluster */
	IDENTITY_WORLD = 3,       /* an address that belongs to nothing in the cluster */
	IDENTITY_INIT = 4,        /* a pod whose labels and policy are not known yet */
	IDENTITY_POD_FIRST = 256,
};

/* ipcache: key. Not struct addr, since the trie's bits begin right behind the length. */
struct ipcache_key {
	__u32 prefix_len; /* of the address as ::ffff:a.b.c.d: 0..128 */
	be32 word[4];
};
static_assert(sizeof(struct ipcache_key) == 20, "struct ipcache_key is map ABI");

struct address_classes {
	__u32 identity; /* enum identity, or the agent's */
	__u32 blocks;   /* block class; 0: in no block that a policy names */
};

struct ipcache_entry {
	struct address_classes classes[GENERATIONS]; /* by the generation that decides (maps/runtime.h) */
	__u32 node;  /* index into `nodes` (maps/node.h): behind which other node, or whose own, it is; 0: none */
	__u32 flags; /* none yet */
};
static_assert(sizeof(struct ipcache_entry) == 24, "struct ipcache_entry is map ABI");

SLUICE_LAYOUTS_END

#endif
