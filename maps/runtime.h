/* runtime: the few words that steer all programs of a node at run time. One shared, memory-mapped array entry: programs
 * read it as a global variable (no lookup), user space changes it by atomic operations on the mapping. */
#ifndef SLUICE_MAPS_RUNTIME_H
#define SLUICE_MAPS_RUNTIME_H

#include "maps/types.h"

SLUICE_LAYOUTS_BEGIN

struct runtime {
	__u32 epoch;            /* grows with every change of what flows are decided by; never 0 once loaded */
	__u32 observers;        /* bit 1 << slot for each observer; see maps/observer.h */
	__u32 packet_observers; /* the same, of those that want EVENT_PACKET: all that the fast path looks at */
	__u32 has_services;     /* 0: no service is there, and nobody has to look */
};
static_assert(sizeof(struct runtime) == 16, "struct runtime is map ABI");

SLUICE_LAYOUTS_END

#endif
