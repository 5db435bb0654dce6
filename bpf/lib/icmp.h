/* The ICMP errors that a router owes to the sender of a packet that it cannot forward: time exceeded (RFC 792; RFC 4443,
 * 3.3), fragmentation needed (RFC 1191, 4) and packet too big (RFC 4443, 3.2). The packet itself is turned into the error
 * and sent back where it came from. Reads and writes `icmp_scratch`. */
#ifndef SLUICE_BPF_ICMP_H
#define SLUICE_BPF_ICMP_H

#include "lib/common.h"
#include "lib/config.h"
#include "lib/endpoint.h"
#include "lib/metrics.h"
#include "lib/packet.h"
#include "lib/parse.h"

#define ICMPV4_CODE_FRAGMENTATION_NEEDED 4
#define ICMPV4_QUOTE_MAX (576 - sizeof(struct iphdr) - ICMP_HLEN)   /* RFC 1812, 4.3.2.3 */
#define ICMPV6_QUOTE_MAX (1280 - sizeof(struct ipv6hdr) - ICMP_HLEN) /* RFC 4443, 2.4 c */
#define ICMP_TTL 64
#define CHECKSUM_CHUNK 512 /* the most that bpf_csum_diff takes before 6.13 */

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
	__sum16 checksum;
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

/* The Internet checksum (RFC 1071) of `length` bytes of the packet from `off` on, added to `sum`; negative on error. */
static __noinline __s64 icmp_checksum_packet(struct __sk_buff *skb, struct icmp_scratch *scratch, __u32 off, __u32 length,
					     __s64 sum)
{
	for (int i = 0; i < 3 && length && sum >= 0; i++) {
		__u32 size = length < CHECKSUM_CHUNK ? length : CHECKSUM_CHUNK;

		/* The last word may be half filled: the rest of it counts as zero. */
		*(__u32 *)&scratch->chunk[(size - 1) & (CHECKSUM_CHUNK - 4)] = 0;
		if (size < 1 || size > CHECKSUM_CHUNK || bpf_skb_load_bytes(skb, off, scratch->chunk, size))
			return -1;
		sum = bpf_csum_diff(NULL, 0, (__be32 *)scratch->chunk, ((size + 3) & ~3U) & (2 * CHECKSUM_CHUNK - 1),
				    sum);
		off += size;
		length -= size;
	}
	return sum;
}

static __always_inline __sum16 checksum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Turns the frame around: back to the pod that sent it. */
static __always_inline int l2_turn_around(struct __sk_buff *skb)
{
	struct l2_pair l2;
	__u8 mac[6];

	if (bpf_skb_load_bytes(skb, 0, &l2, sizeof(l2)))
		return -DROP_PARSE_SHORT;
	__builtin_memcpy(mac, l2.dst, sizeof(mac));
	__builtin_memcpy(l2.dst, l2.src, sizeof(mac));
	for (int i = 0; i < (int)sizeof(mac); i++)
		l2.src[i] = cfg_host_mac[i];
	return bpf_skb_store_bytes(skb, 0, &l2, sizeof(l2), 0) ? -DROP_REWRITE : 0;
}

static __always_inline int icmp_write_v4(struct __sk_buff *skb, const struct packet *pkt, struct icmp_scratch *scratch,
					 struct icmp_header *icmp, __u32 quote)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = bpf_htons(sizeof(ip) + sizeof(*icmp) + quote),
		.ttl = ICMP_TTL,
		.protocol = IPPROTO_ICMP,
		.saddr = cfg_icmp_source_v4.word[3],
		.daddr = packet_src(pkt)->word[3],
	};
	__s64 sum;

	ip.check = checksum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&ip, sizeof(ip), 0));
	sum = bpf_csum_diff(NULL, 0, (__be32 *)icmp, sizeof(*icmp), 0);
	sum = icmp_checksum_packet(skb, scratch, ETH_HLEN + sizeof(ip) + sizeof(*icmp), quote, sum);
	if (sum < 0)
		return -DROP_REWRITE;
	icmp->checksum = checksum_fold(sum);
	return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0) ||
		       bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(ip), icmp, sizeof(*icmp), 0) ?
		       -DROP_REWRITE :
		       0;
}

static __always_inline int icmp_write_v6(struct __sk_buff *skb, const struct packet *pkt, struct icmp_scratch *scratch,
					 struct icmp_header *icmp, __u32 quote)
{
	struct ipv6hdr ip = {
		.version = 6,
		.payload_len = bpf_htons(sizeof(*icmp) + quote),
		.nexthdr = IPPROTO_ICMPV6,
		.hop_limit = ICMP_TTL,
	};
	struct { /* RFC 8200, 8.1 */
		be32 length, next;
	} pseudo = { bpf_htonl(sizeof(*icmp) + quote), bpf_htonl(IPPROTO_ICMPV6) };
	struct addr source;
	__s64 sum;

	for (int i = 0; i < 4; i++)
		source.word[i] = cfg_icmp_source_v6.word[i];
	__builtin_memcpy(&ip.saddr, &source, sizeof(source));
	__builtin_memcpy(&ip.daddr, packet_src(pkt), sizeof(ip.daddr));
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&ip.saddr, 2 * sizeof(ip.saddr), sum);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)icmp, sizeof(*icmp), sum);
	sum = icmp_checksum_packet(skb, scratch, ETH_HLEN + sizeof(ip) + sizeof(*icmp), quote, sum);
	if (sum < 0)
		return -DROP_REWRITE;
	icmp->checksum = checksum_fold(sum);
	return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0) ||
		       bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(ip), icmp, sizeof(*icmp), 0) ?
		       -DROP_REWRITE :
		       0;
}

/* Turns the packet into the error about itself; 0 where it is ready to go back to the pod. No error answers an error, a
 * later fragment or what was not meant for one receiver (RFC 1122, 3.2.2; RFC 4443, 2.4 e). */
static __noinline int icmp_error(struct __sk_buff *skb, struct packet *pkt, __u32 reason)
{
	struct icmp_header icmp = {};
	struct icmp_scratch *scratch;
	__u32 zero = 0, quote = pkt->ip_len, most = pkt->is_v4 ? ICMPV4_QUOTE_MAX : ICMPV6_QUOTE_MAX;
	int err;

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
	} else {
		icmp.type = pkt->is_v4 ? ICMPV4_UNREACHABLE : ICMPV6_TOO_BIG;
		icmp.code = pkt->is_v4 ? ICMPV4_CODE_FRAGMENTATION_NEEDED : 0;
		icmp.info = bpf_htonl(pkt->too_big_mtu);
	}
	if (quote > most)
		quote = most;

	err = l2_turn_around(skb);
	if (err)
		return err;
	if (bpf_skb_change_tail(skb, ETH_HLEN + quote, 0) ||
	    bpf_skb_adjust_room(skb, sizeof(icmp) + (pkt->is_v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)),
				BPF_ADJ_ROOM_MAC, 0))
		return -DROP_REWRITE;
	err = pkt->is_v4 ? icmp_write_v4(skb, pkt, scratch, &icmp, quote) : icmp_write_v6(skb, pkt, scratch, &icmp, quote);
	if (!err)
		counter_add(COUNTER_ICMP_ERROR_SENT);
	return err;
}

#endif
