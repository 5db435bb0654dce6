/* What the slow path decides about a packet, stage by stage: the programs' work space on one CPU (`decision_scratch`,
 * which is not pinned), from which flow entries are written. bpfctl trace reads it after a run of its own instance of
 * the programs, so that what it prints is what they went by. No ABI: only programs and reader of one build share it. */
#ifndef SLUICE_MAPS_DECISION_H
#define SLUICE_MAPS_DECISION_H

#include "maps/endpoint.h"
#include "maps/flow.h"
#include "maps/types.h"

SLUICE_LAYOUTS_BEGIN

/* Where an end of a connection is, seen from this node: bpf/lib/way.h. */
enum place {
	PLACE_STACK = 0, /* the node itself, and all that its stack has the way to */
	PLACE_POD,       /* a pod of this node */
	PLACE_NODE,      /* behind another node's tunnel */
	PLACE_UPLINK,    /* the world, by an uplink */
};

/* One end of a connection. */
struct end {
	struct addr addr;
	struct endpoint pod;      /* ifindex 0: it is no pod of this node */
	struct pod_policy policy; /* the pod's, of the generation that decides */
	__u32 via;                /* PLACE_NODE: the node's number; PLACE_UPLINK: the uplink's ifindex */
	__u32 back; /* packets to it leave by this uplink, wherever those from it come from; 0: by its place */
	__u8 place; /* enum place */
	__u8 pad[3];
};

/* What policy says at one end. All zero: nobody was asked. */
struct policy_answer {
	__u32 policy;   /* the rule set that was asked */
	__u32 rule;     /* the agent's number of the rule that decided; 0: none did */
	__u32 identity; /* the classes of the peer (maps/ipcache.h), also where no rule set was asked for its sake */
	__u32 blocks;
	__u8 tier;    /* enum policy_tier that decided */
	__u8 verdict; /* enum policy_verdict of that tier */
	__u8 flags;   /* POLICY_* of the rule set; 0: it is not in force, and denies */
	__u8 denied;  /* also where audit mode lets it through */
};

struct decision {
	struct end source, target;            /* of the packet; the target is who is behind the translation */
	struct policy_answer egress, ingress; /* of the client's end, of the server's */
	struct flow_entry entry;              /* of the packet's own key */
	struct flow_half answer;              /* of what comes back, where that meets the partner */
	struct flow_entry partner;            /* of the key behind the translation, where the entry is translated */
	struct flow_key partner_key;
	__u8 dir;                      /* of the packet: entry.half[dir] is what happens to it */
	bool continues;                /* the packet goes on with the connection whose entry is known */
	bool forgotten;                /* and leaves nothing behind */
	bool as_node;                  /* its source becomes the node's address: bpf/lib/masquerade.h */
	__u16 ports_first, ports_last; /* where as_node: see struct uplink */
	__u8 generation;               /* of policy, that decides: maps/runtime.h */
	__u8 pad[7];
};
static_assert(sizeof(struct decision) % 8 == 0, "struct decision is a value of a per-CPU map");

SLUICE_LAYOUTS_END

#endif
