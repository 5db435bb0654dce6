/* uplinks: the interfaces by which this node reaches the world, by their ifindex. Hash, written by the loader; a change is
 * followed by a new runtime.epoch. */
#ifndef SLUICE_MAPS_UPLINK_H
#define SLUICE_MAPS_UPLINK_H

#include "maps/types.h"

SLUICE_LAYOUTS_BEGIN

#define UPLINKS_MAX 64

struct uplink {
	struct addr v4,
		v6;        /* the node's address there, which it gives to what it translates; ::, none of this family */
	__u32 mtu;         /* from the IP header on */
	__u16 ports_first; /* no connection of others gets a source port from here to ports_last, host order: the node's */
	__u16 ports_last; /* sockets choose from these by themselves, and NodePorts are there */
};
static_assert(sizeof(struct uplink) == 40, "struct uplink is map ABI");

SLUICE_LAYOUTS_END

#endif
