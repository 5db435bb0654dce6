/* denied: whose packets no uplink lets in, longest prefix first. LPM trie; written by the loader from the node's deny list
 * (loader/program/deny.hpp). Each packet is asked for, so a change needs no new runtime.epoch; runtime.has_denied says
 * whether anything is in it. */
#ifndef SLUICE_MAPS_DENY_H
#define SLUICE_MAPS_DENY_H

#include "maps/types.h"

SLUICE_LAYOUTS_BEGIN

/* denied: key. Not struct addr, since the trie's bits begin right behind the length. */
struct denied_key {
	__u32 prefix_len; /* of the address as ::ffff:a.b.c.d: 0..128 */
	be32 word[4];
};
static_assert(sizeof(struct denied_key) == 20, "struct denied_key is map ABI");

/* denied: value. An IPv6 block may contain all of IPv4 as it is written here, and does not mean it. */
enum denied_value {
	DENIED_NO = 0,
	DENIED_YES = 1,
};

SLUICE_LAYOUTS_END

#endif
