/* struct packet: all that the programs know of the packet at hand. packet_parse (lib/parse.h) fills it, nobody reads the
 * headers again. Offsets, not pointers: a helper that resizes the packet kills pointers. The IP header always stands
 * right behind the 14 bytes of Ethernet: a pod's interface has no VLANs (lib/vlan.h). */
#ifndef SLUICE_BPF_PACKET_H
#define SLUICE_BPF_PACKET_H

#include "lib/common.h"
#include "maps/flow.h"
#include "maps/metrics.h"

struct packet {
	struct flow_key key; /* of the packet's flow; of an ICMP error: that of the flow which it is about */
	__u32 origin;        /* ifindex where it was seen, with FLOW_ORIGIN_HOST: see struct flow_half */
	__u32 rule;          /* set with a drop by policy: struct tier_verdict.rule */
	__u32 ip_len;        /* from the IP header on, in bytes */
	__u16 l4_off; /* of the header behind the IP header and its options or extension headers, from the frame's start */
	__u16 too_big_mtu; /* set with DROP_TOO_BIG: what the sender is told */
	__u8 dir;          /* the half of the flow that the packet belongs to: 0 or 1 */
	__u8 hook;         /* enum hook */
	bool is_v4;
	__u8 l4_proto;          /* IPPROTO_* of the packet itself; key.proto is that of the flow */
	__u8 icmp_type;         /* ICMP and ICMPv6 */
	__u8 tcp_flags;         /* TCP_FLAG_*_BIT */
	bool is_icmp_error;     /* `key` is that of the packet it quotes; `outer` are its own addresses */
	bool reject;            /* set with a drop by policy: the sender is to be told */
	bool is_later_fragment; /* has no ports of its own */
	bool opens;             /* its tuple is that of a connection which was found to be over: this one is new */
	struct addr outer_src, outer_dst; /* only where is_icmp_error */
};

static __always_inline const struct addr *packet_src(const struct packet *pkt)
{
	return pkt->is_icmp_error ? &pkt->outer_src : &pkt->key.addr[pkt->dir & 1];
}

static __always_inline const struct addr *packet_dst(const struct packet *pkt)
{
	return pkt->is_icmp_error ? &pkt->outer_dst : &pkt->key.addr[!(pkt->dir & 1)];
}

/* Puts the tuple into the key with its smaller end first (maps/flow.h); says which half a packet src -> dst has. */
static __always_inline __u8 flow_key_set(struct flow_key *key, const struct addr *src, const struct addr *dst,
					 be16 sport, be16 dport)
{
	const __u64 *s = (const __u64 *)src, *d = (const __u64 *)dst;
	__u8 dir;

	if (s[0] != d[0])
		dir = s[0] > d[0];
	else if (s[1] != d[1])
		dir = s[1] > d[1];
	else
		dir = sport > dport;

	addr_copy(&key->addr[0], dir ? dst : src);
	addr_copy(&key->addr[1], dir ? src : dst);
	key->port[0] = dir ? dport : sport;
	key->port[1] = dir ? sport : dport;
	return dir;
}

#endif
