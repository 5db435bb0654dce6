/* What a tunnel puts around a frame (VXLAN, RFC 7348, 5), where no skb and so no tunnel device is at hand: written and read
 * in the frame itself. What the device does with a collected key (lib/tunnel.h) is done here, too: the same addresses,
 * DF, TTL, checksums and ECN (RFC 6040). */
#ifndef SLUICE_BPF_VXLAN_H
#define SLUICE_BPF_VXLAN_H

#include "lib/common.h"
#include "lib/config.h"
#include "lib/csum.h"
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/tunnel.h"
#include "maps/node.h"

#define VXLAN_FLAGS_VNI 0x08000000 /* the VNI is valid, and nothing else is asked for */
#define ECN_MASK        3
#define ECN_ECT_0       2
#define ECN_CE          3
#define SOURCE_PORTS    0xc000 /* from here on: RFC 7348, 5, and RFC 6335, 6 */

struct vxlan_header {
	be32 flags, vni;
};
_Static_assert(TUNNEL_OVERHEAD_V4 ==
			       ETH_HLEN + sizeof(struct iphdr) + sizeof(struct udphdr) + sizeof(struct vxlan_header) &&
		       TUNNEL_OVERHEAD_V6 - TUNNEL_OVERHEAD_V4 == sizeof(struct ipv6hdr) - sizeof(struct iphdr),
	       "what MTUs are reckoned with is what is written");

/* What is to be written around a frame. */
struct vxlan_outer {
	struct addr src, dst;
	__u32 length;    /* of the frame, in bytes */
	__u32 inner_sum; /* over IPv6: vxlan_inner_sum */
	be16 sport;
	__u8 ecn;
};

/* A connection keeps one way through the underlay, and many use all of them (RFC 6438). */
static __always_inline be16 vxlan_source_port(const struct flow_key *key)
{
	const __u64 *ends = (const __u64 *)key->addr;
	__u64 hash = (ends[0] ^ ends[2]) * 0x9e3779b97f4a7c15ULL;

	hash = (hash ^ (hash >> 29) ^ ends[1] ^ ends[3] * 0xbf58476d1ce4e5b9ULL) * 0x94d049bb133111ebULL;
	hash = (hash ^ (__u64)key->port[0] << 16 ^ key->port[1]) * 0x9e3779b97f4a7c15ULL;
	return bpf_htons(SOURCE_PORTS | hash >> 50);
}

/* The sum of a frame whose TCP or UDP checksum is right and need not be added up again: with the pseudo header, all that
 * it covers sums up to nothing ("local checksum offload"). */
static __always_inline int vxlan_inner_sum(const void *data, const void *data_end, bool is_v4, __u32 *sum)
{
	struct {
		struct ethhdr eth;
		__be16 pad;
	} l2 = {};
	const struct ipv6hdr *v6 = data + ETH_HLEN;
	const struct iphdr *v4 = data + ETH_HLEN;
	__be32 once[3] = {}, not [3] = {};

	if (is_v4) {
		if ((const void *)(v4 + 1) > data_end)
			return -DROP_PARSE_SHORT;
		not [0] = v4->saddr;
		not [1] = v4->daddr;
		not [2] = bpf_htonl(v4->protocol + bpf_ntohs(v4->tot_len) - sizeof(*v4));
	} else {
		/* The addresses are in the header and in the pseudo header. */
		if ((const void *)(v6 + 1) > data_end)
			return -DROP_PARSE_SHORT;
		once[0] = *(const __be32 *)v6;
		once[1] = bpf_htonl(v6->nexthdr << 8 | v6->hop_limit);
		not [0] = bpf_htonl(v6->nexthdr);
	}
	__builtin_memcpy(&l2.eth, data, sizeof(l2.eth));
	*sum = bpf_csum_diff(NULL, 0, (__be32 *)&l2, sizeof(l2),
			     bpf_csum_diff(not, sizeof(not ), once, sizeof(once), 0));
	return 0;
}

static __always_inline __u8 ecn_of(const void *data, const void *data_end, bool is_v4)
{
	const struct ipv6hdr *v6 = data + ETH_HLEN;
	const struct iphdr *v4 = data + ETH_HLEN;

	if (is_v4)
		return (const void *)(v4 + 1) <= data_end ? v4->tos & ECN_MASK : 0;
	return (const void *)(v6 + 1) <= data_end ? v6->flow_lbl[0] >> 4 & ECN_MASK : 0;
}

/* The ECN bits of a tunnel around this frame. */
static __always_inline __u8 vxlan_ecn(const void *data, const void *data_end, bool is_v4)
{
	__u8 ecn = ecn_of(data, data_end, is_v4);

	return ecn == ECN_CE ? ECN_ECT_0 : ecn;
}

/* The frame is that of a tunnel, and its receiver has to hand on that there was a queue on its way. */
static __always_inline bool vxlan_congested(const void *data, const void *data_end, bool is_v4)
{
	return ecn_of(data, data_end, is_v4) == ECN_CE;
}

static __always_inline void vxlan_write(struct udphdr *udp, const struct vxlan_outer *outer)
{
	struct vxlan_header *vxlan = (void *)(udp + 1);

	udp->source = outer->sport;
	udp->dest = bpf_htons(cfg_tunnel_port);
	udp->len = bpf_htons(sizeof(*udp) + sizeof(*vxlan) + outer->length);
	udp->check = 0;
	vxlan->flags = bpf_htonl(VXLAN_FLAGS_VNI);
	vxlan->vni = bpf_htonl(cfg_vni << 8);
}

static __always_inline __u32 halves(be32 word)
{
	return (word & 0xffff) + (word >> 16);
}

/* Writes what comes before the frame at `data`, but for the outer MAC addresses. Over IPv4 without a UDP checksum, as
 * RFC 7348, 5 wants it. */
static __always_inline int vxlan_write_v4(void *data, void *data_end, const struct vxlan_outer *outer)
{
	struct iphdr *ip = data + ETH_HLEN;
	__u32 sum;

	if (data + TUNNEL_OVERHEAD_V4 > data_end)
		return -DROP_PARSE_SHORT;
	((struct ethhdr *)data)->h_proto = bpf_htons(ETH_P_IP);
	*(__be16 *)ip = bpf_htons(0x4500 | outer->ecn);
	ip->tot_len = bpf_htons(TUNNEL_OVERHEAD_V4 - ETH_HLEN + outer->length);
	ip->id = 0;
	ip->frag_off = bpf_htons(IPV4_DONT_FRAGMENT);
	ip->ttl = TUNNEL_TTL;
	ip->protocol = IPPROTO_UDP;
	ip->saddr = outer->src.word[3];
	ip->daddr = outer->dst.word[3];
	sum = bpf_htons(0x4500 | outer->ecn) + (__u32)ip->tot_len + bpf_htons(IPV4_DONT_FRAGMENT) +
	      bpf_htons(TUNNEL_TTL << 8 | IPPROTO_UDP) + halves(ip->saddr) + halves(ip->daddr);
	ip->check = checksum_fold(sum);
	vxlan_write((void *)(ip + 1), outer);
	return 0;
}

/* The same over IPv6, where receivers want a checksum. */
static __always_inline int vxlan_write_v6(void *data, void *data_end, const struct vxlan_outer *outer)
{
	struct {
		struct addr src, dst;
		be32 length, next;
	} pseudo = { .next = bpf_htonl(IPPROTO_UDP) };
	struct ipv6hdr *ip = data + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);
	__u32 sum;

	if (data + TUNNEL_OVERHEAD_V6 > data_end)
		return -DROP_PARSE_SHORT;
	((struct ethhdr *)data)->h_proto = bpf_htons(ETH_P_IPV6);
	*(__be32 *)ip = bpf_htonl(6U << 28 | (__u32)outer->ecn << 20);
	ip->nexthdr = IPPROTO_UDP;
	ip->hop_limit = TUNNEL_TTL;
	__builtin_memcpy(&ip->saddr, &outer->src, sizeof(outer->src));
	__builtin_memcpy(&ip->daddr, &outer->dst, sizeof(outer->dst));
	vxlan_write(udp, outer);
	ip->payload_len = udp->len;
	addr_copy(&pseudo.src, &outer->src);
	addr_copy(&pseudo.dst, &outer->dst);
	pseudo.length = bpf_htonl(bpf_ntohs(udp->len));
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), outer->inner_sum);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)udp, sizeof(*udp) + sizeof(struct vxlan_header), sum);
	udp->check = checksum_fold(sum) ?: 0xffff;
	return 0;
}

#endif
