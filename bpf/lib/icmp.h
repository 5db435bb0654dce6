/* The ICMP errors that a router owes to the sender of a packet that it cannot forward: time exceeded (RFC 792; RFC 4443,
 * 3.3), fragmentation needed (RFC 1191, 4), packet too big (RFC 4443, 3.2), and that nobody takes it or may. The packet itself is turned into the error
 * and sent back where it came from. Reads and writes `icmp_scratch`. */
#ifndef SLUICE_BPF_ICMP_H
#define SLUICE_BPF_ICMP_H

#include "lib/common.h"
#include "lib/config.h"
#include "lib/csum.h"
#include "lib/endpoint.h"
#include "lib/metrics.h"
#include "lib/packet.h"
#include "lib/parse.h"

#define ICMPV4_CODE_FRAGMENTATION_NEEDED 4
#define ICMPV4_CODE_PORT                 3
#define ICMPV4_CODE_PROHIBITED           13
#define ICMPV6_CODE_PROHIBITED           1
#define ICMPV6_CODE_PORT                 4
#define ICMPV4_QUOTE_MAX                 (576 - sizeof(struct iphdr) - ICMP_HLEN)    /* RFC 1812, 4.3.2.3 */
#define ICMPV6_QUOTE_MAX                 (1280 - sizeof(struct ipv6hdr) - ICMP_HLEN) /* RFC 4443, 2.4 c */
#define ICMP_TTL                         64
#define CHECKSUM_CHUNK                   512 /* the most that bpf_csum_diff takes before 6.13 */
#define CHECKSUM_CHUNKS                  3   /* of which the longest quote has so many */

struct icmp_scratch {
	__u8 chunk[CHECKSUM_CHUNK];
	__u64 bucket_ns; /* token bucket: when it was filled last */
	__u32 bucket;    /* errors that may still be sent */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct icmp_scratch);
} icmp_scratch SEC(".maps");

struct icmp_header {
	__u8 type, code;
	be16 checksum;
	be32 info; /* MTU of too big; for IPv4 in the lower half */
};

/* A bucket of one second's errors, filled at that rate. */
static __always_inline bool icmp_may_send(struct icmp_scratch *scratch)
{
	__u64 now = bpf_ktime_get_ns(), elapsed = now - scratch->bucket_ns;
	__u32 most = cfg_icmp_errors_per_second;
	__u64 earned = elapsed >= CLOCK_NS_PER_S ? most : elapsed * most / CLOCK_NS_PER_S;

	if (earned) {
		scratch->bucket = earned + scratch->bucket > most ? most : earned + scratch->bucket;
		scratch->bucket_ns = now;
	}
	if (!scratch->bucket)
		return false;
	scratch->bucket--;
	return true;
}

/* The Internet checksum (RFC 1071) of `length` bytes of the packet from `off` on and of what is in `sum`; negative where
 * it could not be read. */
__noinline int icmp_checksum(struct __sk_buff *skb, __u32 off, __u32 length, __u32 sum)
{
	struct icmp_scratch *scratch;
	__u32 zero = 0;

	scratch = bpf_map_lookup_elem(&icmp_scratch, &zero);
	if (!scratch)
		return -1;
	for (int i = 0; i < CHECKSUM_CHUNKS && length; i++) {
		__u32 last = (length < CHECKSUM_CHUNK ? length : CHECKSUM_CHUNK) - 1, size;

		/* Before 6.2 the verifier does not see by itself that this is no less than 0. */
		barrier_var(last);
		last &= CHECKSUM_CHUNK - 1;
		size = last + 1;
		/* The last word may be half filled: the rest of it counts as zero. */
		*(__u32 *)&scratch->chunk[last & ~3U] = 0;
		if (bpf_skb_load_bytes(skb, off, scratch->chunk, size))
			return -1;
		sum = bpf_csum_diff(NULL, 0, (__be32 *)scratch->chunk, (size + 3) & ~3U, sum);
		off += size;
		length -= size;
	}
	return length ? -1 : checksum_fold(sum);
}

/* Turns the frame around: back to the pod that sent it, or to the router that brought it. */
static __always_inline int l2_turn_around(struct __sk_buff *skb)
{
	struct l2_pair l2;

	if (bpf_skb_load_bytes(skb, 0, &l2, sizeof(l2)))
		return -DROP_PARSE_SHORT;
	if (l2.dst[0] & 1) /* a pod's question to whom it may concern */
		host_mac_copy(l2.dst);
	for (int i = 0; i < 6; i++) {
		__u8 receiver = l2.dst[i];

		l2.dst[i] = l2.src[i];
		l2.src[i] = receiver;
	}
	return bpf_skb_store_bytes(skb, 0, &l2, sizeof(l2), 0) ? -DROP_REWRITE : 0;
}

/* The node answers as a router. What was on its way to a pod of this node is answered in the pod's name: the way back is
 * that of the pod's packets, on which no other source is believed. */
static __always_inline bool icmp_in_pods_name(const struct packet *pkt)
{
	return pkt->hook == HOOK_TO_POD || pkt->hook == HOOK_FROM_OVERLAY;
}

/* Writes the headers of the error before the `quote` bytes that it quotes. */
static __always_inline int icmp_write_v4(struct __sk_buff *skb, const struct packet *pkt, struct icmp_header *icmp,
					 __u32 quote)
{
	struct {
		struct iphdr ip;
		struct icmp_header icmp;
	} head = {
		.ip.version = 4,
		.ip.ihl = 5,
		.ip.tot_len = bpf_htons(sizeof(head) + quote),
		.ip.ttl = ICMP_TTL,
		.ip.protocol = IPPROTO_ICMP,
		.ip.saddr = icmp_in_pods_name(pkt) ? packet_dst(pkt)->word[3] : cfg_icmp_source_v4.word[3],
		.ip.daddr = packet_src(pkt)->word[3],
		.icmp = *icmp,
	};
	int sum;

	head.ip.check = checksum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&head.ip, sizeof(head.ip), 0));
	sum = icmp_checksum(skb, ETH_HLEN + sizeof(head), quote,
			    bpf_csum_diff(NULL, 0, (__be32 *)&head.icmp, sizeof(head.icmp), 0));
	if (sum < 0)
		return -DROP_REWRITE;
	head.icmp.checksum = sum;
	return bpf_skb_store_bytes(skb, ETH_HLEN, &head, sizeof(head), 0) ? -DROP_REWRITE : 0;
}

static __always_inline int icmp_write_v6(struct __sk_buff *skb, const struct packet *pkt, struct icmp_header *icmp,
					 __u32 quote)
{
	struct { /* with what the checksum covers in one row: RFC 8200, 8.1 */
		be32 length, next;
		struct ipv6hdr ip;
		struct icmp_header icmp;
	} head = {
		.length = bpf_htonl(sizeof(*icmp) + quote),
		.next = bpf_htonl(IPPROTO_ICMPV6),
		.icmp = *icmp,
	};
	const __u32 covered = sizeof(head) - offsetof(typeof(head), ip.saddr);
	int sum;

	for (int i = 0; i < 4; i++)
		head.ip.saddr.in6_u.u6_addr32[i] =
			icmp_in_pods_name(pkt) ? packet_dst(pkt)->word[i] : cfg_icmp_source_v6.word[i];
	__builtin_memcpy(&head.ip.daddr, packet_src(pkt), sizeof(head.ip.daddr));
	sum = icmp_checksum(skb, ETH_HLEN + sizeof(head.ip) + sizeof(head.icmp), quote,
			    bpf_csum_diff(NULL, 0, (__be32 *)&head.ip.saddr, covered,
					  bpf_csum_diff(NULL, 0, (__be32 *)&head, 8, 0)));
	if (sum < 0)
		return -DROP_REWRITE;
	head.icmp.checksum = sum;
	head.ip.version = 6;
	head.ip.payload_len = bpf_htons(sizeof(*icmp) + quote);
	head.ip.nexthdr = IPPROTO_ICMPV6;
	head.ip.hop_limit = ICMP_TTL;
	return bpf_skb_store_bytes(skb, ETH_HLEN, &head.ip, sizeof(head.ip) + sizeof(head.icmp), 0) ? -DROP_REWRITE : 0;
}

/* Nobody is at this port (RFC 792; RFC 4443, 3.1), or policy forbids it (RFC 1812, 5.2.7.1; RFC 4443, 3.1). */
static __always_inline __u8 icmp_unreachable_code(bool is_v4, __u32 reason)
{
	if (reason == DROP_NO_BACKEND)
		return is_v4 ? ICMPV4_CODE_PORT : ICMPV6_CODE_PORT;
	return is_v4 ? ICMPV4_CODE_PROHIBITED : ICMPV6_CODE_PROHIBITED;
}

/* Turns the packet into the error about itself; 0 where it is ready to go back to the pod. No error answers an error, a
 * later fragment or what was not meant for one receiver (RFC 1122, 3.2.2; RFC 4443, 2.4 e). */
__noinline int icmp_error(struct __sk_buff *skb, struct packet *pkt, __u32 reason)
{
	struct icmp_header icmp = {};
	struct icmp_scratch *scratch;
	__u32 zero = 0, quote, most;
	int err;

	if (!pkt)
		return -DROP_INTERNAL;
	if (pkt->is_icmp_error || pkt->is_later_fragment)
		return -reason;
	scratch = bpf_map_lookup_elem(&icmp_scratch, &zero);
	if (!scratch)
		return -DROP_INTERNAL;
	if (!icmp_may_send(scratch)) {
		counter_add(COUNTER_ICMP_ERROR_LIMITED);
		return -reason;
	}
	if (reason == DROP_TTL_EXPIRED) {
		icmp.type = pkt->is_v4 ? ICMPV4_TIME_EXCEEDED : ICMPV6_TIME_EXCEEDED;
	} else if (reason != DROP_TOO_BIG) {
		icmp.type = pkt->is_v4 ? ICMPV4_UNREACHABLE : ICMPV6_UNREACHABLE;
		icmp.code = icmp_unreachable_code(pkt->is_v4, reason);
	} else {
		icmp.type = pkt->is_v4 ? ICMPV4_UNREACHABLE : ICMPV6_TOO_BIG;
		icmp.code = pkt->is_v4 ? ICMPV4_CODE_FRAGMENTATION_NEEDED : 0;
		icmp.info = bpf_htonl(pkt->too_big_mtu);
	}
	most = pkt->is_v4 ? ICMPV4_QUOTE_MAX : ICMPV6_QUOTE_MAX;
	quote = pkt->ip_len < most ? pkt->ip_len : most;

	err = l2_turn_around(skb);
	if (err)
		return err;
	if (bpf_skb_change_tail(skb, ETH_HLEN + quote, 0) ||
	    bpf_skb_adjust_room(skb, sizeof(icmp) + (pkt->is_v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)),
				BPF_ADJ_ROOM_MAC, 0))
		return -DROP_REWRITE;
	err = pkt->is_v4 ? icmp_write_v4(skb, pkt, &icmp, quote) : icmp_write_v6(skb, pkt, &icmp, quote);
	if (!err)
		counter_add(COUNTER_ICMP_ERROR_SENT);
	return err;
}

#endif
