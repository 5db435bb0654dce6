/* fragments: the ports of a packet that comes in fragments, recorded by the first one, which alone has them, for those
 * that follow. An LRU: what is lost of it costs one packet, which the sender repeats. Written by the datapath only. */
#ifndef SLUICE_MAPS_FRAGMENT_H
#define SLUICE_MAPS_FRAGMENT_H

#include "maps/types.h"

SLUICE_LAYOUTS_BEGIN

/* The tuple that fragments of one packet share, RFC 791, 3.2 (with the protocol) and RFC 8200, 4.5 (without), and where
 * they were seen: what a pod records under another's address is recalled for that pod only. */
struct fragment_key {
	struct addr src, dst;
	be32 id;      /* IPv4's 16 bits are in the last two bytes */
	__u32 origin; /* ifindex, with FLOW_ORIGIN_HOST: see maps/flow.h */
	__u8 proto;   /* IPPROTO_*; 0 for IPv6 */
	__u8 pad[7];
};
static_assert(sizeof(struct fragment_key) == 48, "struct fragment_key is map ABI");

struct fragment_ports {
	be16 sport, dport;
};
static_assert(sizeof(struct fragment_ports) == 4, "struct fragment_ports is map ABI");

SLUICE_LAYOUTS_END

#endif
