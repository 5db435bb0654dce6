/* Each router takes a hop from what a packet has left to live (RFC 1812, 5.3.1; RFC 8200, 3). */
#ifndef SLUICE_BPF_HOP_H
#define SLUICE_BPF_HOP_H

#include "lib/common.h"
#include "maps/drop_reason.h"

/* IPv4's header checksum follows by RFC 1624: the TTL is the upper byte of its 16-bit word. */
static __always_inline int hop_take(void *data, void *data_end, bool is_v4)
{
	struct ipv6hdr *v6 = data + ETH_HLEN;
	struct iphdr *v4 = data + ETH_HLEN;

	if (is_v4) {
		__u32 sum;

		if ((void *)(v4 + 1) > data_end)
			return -DROP_PARSE_SHORT;
		if (v4->ttl <= 1)
			return -DROP_TTL_EXPIRED;
		v4->ttl--;
		sum = v4->check + (__u32)bpf_htons(0x0100);
		v4->check = sum + (sum >= 0xffff);
	} else {
		if ((void *)(v6 + 1) > data_end)
			return -DROP_PARSE_SHORT;
		if (v6->hop_limit <= 1)
			return -DROP_TTL_EXPIRED;
		v6->hop_limit--;
	}
	return 0;
}

#endif
