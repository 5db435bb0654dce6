/* Refusing instead of dropping: the one who asked is told at once that nobody is there. TCP gets a reset (RFC 9293, 3.10.7.1),
 * all else ICMP's "unreachable" (lib/icmp.h). The packet itself is turned into the answer. */
#ifndef SLUICE_BPF_REJECT_H
#define SLUICE_BPF_REJECT_H

#include "lib/common.h"
#include "lib/csum.h"
#include "lib/icmp.h"
#include "lib/packet.h"
#include "lib/parse.h"

#define TCP_RESET_TTL 64

/* What the reset answers: its sequence number, or what it acknowledges. */
static __always_inline void reset_numbers(const struct packet *pkt, const struct tcphdr *asked, struct tcphdr *reset)
{
	const __u32 header = pkt->l4_off - ETH_HLEN + asked->doff * 4;
	const __u32 taken = (pkt->ip_len > header ? pkt->ip_len - header : 0) + asked->syn + asked->fin;

	reset->source = asked->dest;
	reset->dest = asked->source;
	reset->doff = sizeof(*reset) / 4;
	reset->rst = 1;
	if (asked->ack) {
		reset->seq = asked->ack_seq;
		return;
	}
	reset->ack = 1;
	reset->ack_seq = bpf_htonl(bpf_ntohl(asked->seq) + taken);
}

static __always_inline void reset_checksum(const struct packet *pkt, struct tcphdr *reset)
{
	struct {
		struct addr src, dst;
		be32 length, next;
	} pseudo = { .length = bpf_htonl(sizeof(*reset)), .next = bpf_htonl(IPPROTO_TCP) };
	__u32 sum;

	addr_copy(&pseudo.src, packet_dst(pkt));
	addr_copy(&pseudo.dst, packet_src(pkt));
	if (pkt->is_v4) /* ::ffff: is part of no IPv4 address */
		pseudo.src.word[2] = pseudo.dst.word[2] = 0;
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	reset->check = checksum_fold(bpf_csum_diff(NULL, 0, (__be32 *)reset, sizeof(*reset), sum));
}

static __always_inline int reset_write_v4(struct __sk_buff *skb, const struct packet *pkt, const struct tcphdr *reset)
{
	struct {
		struct iphdr ip;
		struct tcphdr tcp;
	} head = {
		.ip.version = 4,
		.ip.ihl = 5,
		.ip.tot_len = bpf_htons(sizeof(head)),
		.ip.frag_off = bpf_htons(IPV4_DONT_FRAGMENT),
		.ip.ttl = TCP_RESET_TTL,
		.ip.protocol = IPPROTO_TCP,
		.ip.saddr = packet_dst(pkt)->word[3],
		.ip.daddr = packet_src(pkt)->word[3],
		.tcp = *reset,
	};

	head.ip.check = checksum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&head.ip, sizeof(head.ip), 0));
	return bpf_skb_store_bytes(skb, ETH_HLEN, &head, sizeof(head), 0) ? -DROP_REWRITE : 0;
}

static __always_inline int reset_write_v6(struct __sk_buff *skb, const struct packet *pkt, const struct tcphdr *reset)
{
	struct {
		struct ipv6hdr ip;
		struct tcphdr tcp;
	} head = {
		.ip.version = 6,
		.ip.payload_len = bpf_htons(sizeof(*reset)),
		.ip.nexthdr = IPPROTO_TCP,
		.ip.hop_limit = TCP_RESET_TTL,
		.tcp = *reset,
	};

	__builtin_memcpy(&head.ip.saddr, packet_dst(pkt), sizeof(head.ip.saddr));
	__builtin_memcpy(&head.ip.daddr, packet_src(pkt), sizeof(head.ip.daddr));
	return bpf_skb_store_bytes(skb, ETH_HLEN, &head, sizeof(head), 0) ? -DROP_REWRITE : 0;
}

/* Turns the packet into a reset of its connection; 0 where it is ready to go back. A reset is never answered. */
__noinline int tcp_reset(struct __sk_buff *skb, const struct packet *pkt)
{
	struct tcphdr asked, reset = {};
	int err;

	if (!pkt)
		return -DROP_INTERNAL;
	if (pkt->is_later_fragment || bpf_skb_load_bytes(skb, pkt->l4_off, &asked, sizeof(asked)))
		return -DROP_PARSE_SHORT;
	if (asked.rst)
		return -DROP_REWRITE;
	reset_numbers(pkt, &asked, &reset);
	reset_checksum(pkt, &reset);
	err = l2_turn_around(skb);
	if (err)
		return err;
	if (bpf_skb_change_tail(
		    skb, ETH_HLEN + sizeof(reset) + (pkt->is_v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)), 0))
		return -DROP_REWRITE;
	return pkt->is_v4 ? reset_write_v4(skb, pkt, &reset) : reset_write_v6(skb, pkt, &reset);
}

#endif
