/* runtime: the few words that steer all programs of a node at run time. One shared, memory-mapped array entry: programs
 * read it as a global variable (no lookup), user space changes it by atomic operations on the mapping.
 *
 * The lowest bit of the epoch is the generation of policy: what policy knows an address by stands twice in `endpoints` and
 * `ipcache`, once for each, and a decision goes by those of the epoch that it has read once at its beginning. Who changes
 * policy writes the others, all of them, and adds 1 to the epoch then: one word, so that it is one moment for all addresses.
 * Every other change adds 2. */
#ifndef SLUICE_MAPS_RUNTIME_H
#define SLUICE_MAPS_RUNTIME_H

#include "maps/types.h"

SLUICE_LAYOUTS_BEGIN

#define GENERATIONS       2
#define GENERATION(epoch) ((epoch)&1)

struct runtime {
	__u32 epoch;            /* grows with every change of what flows are decided by; never 0 once loaded */
	__u32 observers;        /* bit 1 << slot for each observer; see maps/observer.h */
	__u32 packet_observers; /* the same, of those that want EVENT_PACKET: all that the fast path looks at */
	__u32 has_services;     /* 0: no service is there, and nobody has to look */
	__u32 has_denied;       /* 0: no source is denied, and nobody has to look */
	__u32 tunnel_ifindex;   /* the tunnel device; 0: there is none */
};
static_assert(sizeof(struct runtime) == 24, "struct runtime is map ABI");

SLUICE_LAYOUTS_END

#endif
