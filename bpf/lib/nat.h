/* Translation of addresses and ports: what a flow's packets become is decided once (lib/route.h), with the differences that
 * it makes to checksums; here it is done to a packet. RFC 1624 (checksums), RFC 5508 and RFC 4787 (what a NAT owes).
 *
 * An ICMP error about a translated connection is translated with what it quotes, so that its receiver finds its own
 * packet in it. The checksum of the quoted TCP, UDP or SCTP header stays as it is: nobody has the packet that it is over. */
#ifndef SLUICE_BPF_NAT_H
#define SLUICE_BPF_NAT_H

#include "lib/common.h"
#include "lib/csum.h"
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/sctp.h"
#include "maps/drop_reason.h"
#include "maps/flow.h"

/* Fills the differences of `to` to the tuple that it replaces, which is the key's in either order: a sum does not know
 * the difference. ICMP has one identifier where others have two ports. */
static __always_inline void translation_diff(struct flow_translation *to, const struct flow_key *key, bool one_port)
{
	be16 was[2] = { key->port[0], one_port ? 0 : key->port[1] };
	be16 is[2] = { to->sport, one_port ? 0 : to->dport };

	to->addr_diff =
		bpf_csum_diff((__be32 *)key->addr, sizeof(key->addr), (__be32 *)&to->src, 2 * sizeof(to->src), 0);
	to->port_diff = bpf_csum_diff((__be32 *)was, sizeof(was), (__be32 *)is, sizeof(is), 0);
}

static __always_inline int translate_addresses(void *data, void *data_end, const struct packet *pkt,
					       const struct addr *src, const struct addr *dst, __u32 diff)
{
	struct ipv6hdr *v6 = data + ETH_HLEN;
	struct iphdr *v4 = data + ETH_HLEN;

	if (pkt->is_v4) {
		if ((void *)(v4 + 1) > data_end)
			return -DROP_PARSE_SHORT;
		v4->saddr = src->word[3];
		v4->daddr = dst->word[3];
		v4->check = checksum_add(v4->check, diff);
		return 0;
	}
	if ((void *)(v6 + 1) > data_end)
		return -DROP_PARSE_SHORT;
	__builtin_memcpy(&v6->saddr, src, sizeof(*src));
	__builtin_memcpy(&v6->daddr, dst, sizeof(*dst));
	return 0;
}

/* Where the checksum of the header behind the IP header stands in it; 0: it has none over addresses and ports. */
static __always_inline __u32 l4_checksum_off(__u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
		return offsetof(struct udphdr, check);
	default:
		return 0;
	}
}

/* What has ports that a translation may change. */
static __always_inline bool proto_has_ports(__u8 proto)
{
	return l4_checksum_off(proto) || proto == IPPROTO_SCTP;
}

#define ICMP_CHECKSUM_OFF   2
#define ICMP_IDENTIFIER_OFF 4

static __always_inline int translate_identifier(struct __sk_buff *skb, const struct packet *pkt,
						const struct flow_translation *to)
{
	const __u32 check = pkt->l4_off + ICMP_CHECKSUM_OFF;

	if (!pkt->is_v4 && bpf_l4_csum_replace(skb, check, 0, to->addr_diff, BPF_F_PSEUDO_HDR))
		return -DROP_REWRITE;
	if (!to->port_diff)
		return 0;
	if (bpf_l4_csum_replace(skb, check, 0, to->port_diff, 0) ||
	    bpf_skb_store_bytes(skb, pkt->l4_off + ICMP_IDENTIFIER_OFF, &to->sport, sizeof(to->sport), 0))
		return -DROP_REWRITE;
	return 0;
}

/* The ports of an SCTP packet and its checksum, which is over no address. A checksum of 0 is the device's to compute (of
 * those that are computed one in 2^32 is 0; its sender repeats the packet). The checksum of a packet in fragments is over
 * bytes that are not here: its ports stay what they are, or it goes nowhere. */
__noinline int translate_sctp(struct __sk_buff *skb, const struct packet *pkt, const struct flow_translation *to)
{
	struct {
		be16 port[2];
		__u32 tag, checksum;
	} header;
	struct ip_summary ip = {};
	int err;

	if (!pkt || !to)
		return -DROP_INTERNAL;
	if (bpf_skb_load_bytes(skb, pkt->l4_off, &header, sizeof(header)))
		return -DROP_PARSE_SHORT;
	if (header.port[0] == to->sport && header.port[1] == to->dport)
		return 0;
	err = parse_ip(skb, ETH_HLEN, pkt->is_v4, &ip);
	if (err)
		return err;
	if (ip.is_fragment)
		return -DROP_REWRITE;
	if (header.checksum) {
		__u32 diff = (header.port[0] ^ to->sport) | (__u32)(header.port[1] ^ to->dport) << 16;

		header.checksum ^= sctp_checksum_diff(diff, pkt->ip_len + ETH_HLEN - pkt->l4_off);
	}
	header.port[0] = to->sport;
	header.port[1] = to->dport;
	return bpf_skb_store_bytes(skb, pkt->l4_off, &header, sizeof(header), 0) ? -DROP_REWRITE : 0;
}

/* The ports and the checksum over them; a later fragment has neither. UDP over IPv4 may have no checksum (RFC 768). */
static __always_inline int translate_l4(struct __sk_buff *skb, const struct packet *pkt,
					const struct flow_translation *to)
{
	const __u64 mangled = pkt->l4_proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	const __u32 off = l4_checksum_off(pkt->l4_proto);
	const be16 ports[2] = { to->sport, to->dport };

	if (pkt->is_later_fragment)
		return 0;
	if (proto_is_icmp(pkt->is_v4, pkt->l4_proto))
		return translate_identifier(skb, pkt, to);
	if (pkt->l4_proto == IPPROTO_SCTP)
		return translate_sctp(skb, pkt, to);
	if (!off)
		return 0;
	if (to->addr_diff && bpf_l4_csum_replace(skb, pkt->l4_off + off, 0, to->addr_diff, BPF_F_PSEUDO_HDR | mangled))
		return -DROP_REWRITE;
	if (!to->port_diff)
		return 0;
	if (bpf_l4_csum_replace(skb, pkt->l4_off + off, 0, to->port_diff, mangled) ||
	    bpf_skb_store_bytes(skb, pkt->l4_off, ports, sizeof(ports), 0))
		return -DROP_REWRITE;
	return 0;
}

/* The packet that an error quotes went the other way: its source is what this direction's destination is. `off` is where
 * its IP header begins. */
static __always_inline int translate_quoted(struct __sk_buff *skb, const struct packet *pkt,
					    const struct flow_translation *to, __u32 off)
{
	const be16 ports[2] = { to->dport, to->sport };
	struct ip_summary ip = {};
	__be32 addrs[2] = { to->dst.word[3], to->src.word[3] };
	int err = parse_ip(skb, off, pkt->is_v4, &ip);

	if (err)
		return err;
	if (proto_is_icmp(pkt->is_v4, pkt->key.proto)) {
		if (bpf_skb_store_bytes(skb, ip.l4_off + ICMP_IDENTIFIER_OFF, &to->sport, sizeof(to->sport), 0))
			return -DROP_REWRITE;
	} else if (proto_has_ports(pkt->key.proto) && bpf_skb_store_bytes(skb, ip.l4_off, ports, sizeof(ports), 0)) {
		return -DROP_REWRITE;
	}
	if (pkt->is_v4) {
		if (bpf_l3_csum_replace(skb, off + offsetof(struct iphdr, check), 0, to->addr_diff, 0) ||
		    bpf_skb_store_bytes(skb, off + offsetof(struct iphdr, saddr), addrs, sizeof(addrs), 0))
			return -DROP_REWRITE;
		return 0;
	}
	if (bpf_skb_store_bytes(skb, off + offsetof(struct ipv6hdr, saddr), &to->dst, sizeof(to->dst), 0) ||
	    bpf_skb_store_bytes(skb, off + offsetof(struct ipv6hdr, daddr), &to->src, sizeof(to->src), 0))
		return -DROP_REWRITE;
	return 0;
}

/* The sender of the error may be a router on the way: its address stays. */
__noinline int translate_icmp_error(struct __sk_buff *skb, const struct packet *pkt, const struct flow_translation *way)
{
	struct addr outer[2], becomes[2];
	struct flow_translation to;
	__u32 check_off, outer_diff;
	int err;

	if (!pkt || !way)
		return -DROP_INTERNAL;
	to = *way;
	addr_copy(&outer[0], &pkt->outer_src);
	addr_copy(&outer[1], &pkt->outer_dst);
	addr_copy(&becomes[0], addr_equal(&outer[0], &pkt->key.addr[pkt->dir & 1]) ? &to.src : &outer[0]);
	addr_copy(&becomes[1], &to.dst);
	outer_diff = bpf_csum_diff((__be32 *)outer, sizeof(outer), (__be32 *)becomes, sizeof(becomes), 0);

	err = translate_quoted(skb, pkt, &to, pkt->l4_off + ICMP_HLEN);
	if (err)
		return err;
	/* What the quoted addresses change is made up for by the checksum of the quoted IPv4 header, which is covered too;
	 * ICMPv6 covers a pseudo header of the outer addresses as well (RFC 4443, 2.3). */
	check_off = pkt->l4_off + ICMP_CHECKSUM_OFF;
	if (to.port_diff && bpf_l4_csum_replace(skb, check_off, 0, to.port_diff, 0))
		return -DROP_REWRITE;
	if (!pkt->is_v4 && (bpf_l4_csum_replace(skb, check_off, 0, to.addr_diff, 0) ||
			    bpf_l4_csum_replace(skb, check_off, 0, outer_diff, BPF_F_PSEUDO_HDR)))
		return -DROP_REWRITE;
	return translate_addresses((void *)(long)skb->data, (void *)(long)skb->data_end, pkt, &becomes[0], &becomes[1],
				   outer_diff);
}

static __always_inline int translate(struct __sk_buff *skb, const struct packet *pkt, const struct flow_translation *to)
{
	int err;

	if (unlikely(pkt->is_icmp_error))
		return translate_icmp_error(skb, pkt, to);
	err = translate_l4(skb, pkt, to);
	return err   ?:
		       translate_addresses((void *)(long)skb->data, (void *)(long)skb->data_end, pkt, &to->src,
					   &to->dst, to->addr_diff);
}

/* The same of a whole frame whose TCP or UDP header stands right behind an IP header without options (parse_plain). */
static __always_inline int translate_frame(void *data, void *data_end, const struct packet *pkt,
					   const struct flow_translation *to)
{
	struct tcphdr *tcp = data + ETH_HLEN + (pkt->is_v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	struct udphdr *udp = (void *)tcp;

	if (pkt->l4_proto == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > data_end)
			return -DROP_PARSE_SHORT;
		tcp->check = checksum_add(checksum_add(tcp->check, to->addr_diff), to->port_diff);
	} else {
		if ((void *)(udp + 1) > data_end)
			return -DROP_PARSE_SHORT;
		if (udp->check)
			udp->check = checksum_add(checksum_add(udp->check, to->addr_diff), to->port_diff) ?: 0xffff;
	}
	udp->source = to->sport;
	udp->dest = to->dport;
	return translate_addresses(data, data_end, pkt, &to->src, &to->dst, to->addr_diff);
}

#endif
