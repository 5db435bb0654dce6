/* What every header of bpf/lib starts from: the kernel's types, libbpf's helpers, and the few constants that are macros
 * in the kernel's headers and so are in no BTF. */
#ifndef SLUICE_BPF_COMMON_H
#define SLUICE_BPF_COMMON_H

#include "vmlinux/vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps/types.h"

#define ETH_HLEN     14
#define ETH_P_IP     0x0800
#define ETH_P_ARP    0x0806
#define ETH_P_8021Q  0x8100
#define ETH_P_8021AD 0x88a8
#define ETH_P_IPV6   0x86dd

/* IPv6 extension headers and ICMPv6, by their protocol numbers (RFC 8200, 4). */
#define IPPROTO_HOPOPTS  0
#define IPPROTO_ROUTING  43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_ICMPV6   58
#define IPPROTO_DSTOPTS  60

#define TC_ACT_UNSPEC (-1) /* go on: the next program, filter or qdisc, then the stack */
#define TC_ACT_SHOT   2

#define PACKET_HOST 0 /* skb->pkt_type: for us */

#define BPF_F_CURRENT_NETNS (-1)

/* Reads a field of the context in one load at its own offset. Left alone, clang may compute a pointer to a field that is
 * read on two paths, and the verifier refuses a context pointer that was moved. */
#define ctx_load(skb, field)                                                                \
	({                                                                                  \
		__u32 value_;                                                               \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                                       \
			     : "=r"(value_)                                                 \
			     : "r"(skb), "i"(__builtin_offsetof(struct __sk_buff, field))); \
		value_;                                                                     \
	})

#define barrier()   asm volatile("" ::: "memory")
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define CLOCK_NS_PER_S 1000000000ULL

#define EEXIST 17

/* A function that is big or cold is global (__noinline, not static): the kernel then verifies it once, by itself, and not
 * again on every path that leads to a call. It takes pointers of such a function as maybe NULL, so each is checked; and
 * before 6.3 it refuses what such a pointer leads to as a map's key, so keys are copied to the stack. */

static __always_inline bool addr_equal(const struct addr *a, const struct addr *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1];
}

/* Written out, since clang 14 calls memcmp for what it cannot load as words. */
static __always_inline bool mac_equal(const __u8 *a, const __u8 *b)
{
	for (int i = 0; i < 6; i++)
		if (a[i] != b[i])
			return false;
	return true;
}

static __always_inline void addr_copy(struct addr *to, const struct addr *from)
{
	((__u64 *)to)[0] = ((const __u64 *)from)[0];
	((__u64 *)to)[1] = ((const __u64 *)from)[1];
}

static __always_inline void addr_set_v4(struct addr *to, be32 v4)
{
	to->word[0] = 0;
	to->word[1] = 0;
	to->word[2] = bpf_htonl(0xffff);
	to->word[3] = v4;
}

static __always_inline bool addr_is_v4(const struct addr *address)
{
	return !address->word[0] && !address->word[1] && address->word[2] == bpf_htonl(0xffff);
}

#endif
