/* endpoints: the pods of this node, by each of their addresses. Key: struct addr. Written by the CNI plugin and the
 * loader, read by the datapath; a change is followed by a new runtime.epoch, so that no flow goes on with the old one. */
#ifndef SLUICE_MAPS_ENDPOINT_H
#define SLUICE_MAPS_ENDPOINT_H

#include "maps/ipcache.h"
#include "maps/types.h"

SLUICE_LAYOUTS_BEGIN

#define ENDPOINT_THROUGH_STACK 1 /* what it sends and gets passes the host's stack, for other tc and netfilter users */
#define ENDPOINT_SHAPED        2 /* what it gets passes the qdisc of the host's end */

/* What policy knows of one of a pod's addresses. */
struct pod_policy {
	struct address_classes classes;
	__u32 egress; /* policy ids (maps/policy.h) of what it sends and gets; 0: all is allowed */
	__u32 ingress;
};

struct endpoint {
	__u32 ifindex; /* the host's end of the veth pair */
	__u16 mtu;     /* of the pod's end, from the IP header on */
	__u16 flags;   /* ENDPOINT_* */
	__u8 pod_mac[6];
	__u8 pad[2];
	struct pod_policy policy[GENERATIONS]; /* by the generation that decides (maps/runtime.h) */
};
static_assert(sizeof(struct endpoint) == 48, "struct endpoint is map ABI");

SLUICE_LAYOUTS_END

#endif
