/* What the host's routes say. */
#ifndef SLUICE_BPF_FIB_H
#define SLUICE_BPF_FIB_H

#include "lib/common.h"

#define AF_INET  2
#define AF_INET6 10

/* The question for bpf_fib_lookup, but for the interface: the way of a packet from `src` to `dst`. */
static __always_inline void fib_ask(struct bpf_fib_lookup *fib, bool is_v4, __u8 proto, const struct addr *src,
				    const struct addr *dst)
{
	fib->l4_protocol = proto;
	if (is_v4) {
		fib->family = AF_INET;
		fib->ipv4_src = src->word[3];
		fib->ipv4_dst = dst->word[3];
		return;
	}
	fib->family = AF_INET6;
	for (int i = 0; i < 4; i++) {
		fib->ipv6_src[i] = src->word[i];
		fib->ipv6_dst[i] = dst->word[i];
	}
}

#endif
