/* From a frame to struct packet, for both families. packet_parse reads what most packets are, a TCP or UDP header
 * straight behind an IP header without options, with direct access; all else is read by parse_rest, which may take its
 * time: options, extension headers, fragments, ICMP, headers outside the linear part.
 *
 * RFC 791 and 8200 (IP), 792 and 4443 (ICMP), 9293 (TCP), 768 (UDP), 9260 (SCTP). Reads and writes `fragments`. */
#ifndef SLUICE_BPF_PARSE_H
#define SLUICE_BPF_PARSE_H

#include "lib/common.h"
#include "lib/fragment.h"
#include "lib/packet.h"
#include "lib/vlan.h"
#include "maps/drop_reason.h"

#define IPV4_FRAGMENT_OFFSET   0x1fff
#define IPV4_MORE_FRAGMENTS    0x2000
#define IPV4_DONT_FRAGMENT     0x4000
#define IPV6_FRAGMENT_OFFSET   0xfff8
#define IPV6_MORE_FRAGMENTS    0x0001
#define IPV6_EXTENSION_HEADERS 8
#define IPV6_NO_NEXT_HEADER    59
#define SCTP_HLEN              12
#define ICMP_HLEN              8
#define TCP_FLAGS_OFFSET       13

#define ICMPV4_ECHO_REPLY              0
#define ICMPV4_UNREACHABLE             3
#define ICMPV4_REDIRECT                5
#define ICMPV4_ECHO                    8
#define ICMPV4_TIME_EXCEEDED           11
#define ICMPV4_PARAMETER               12
#define ICMPV4_TIMESTAMP               13
#define ICMPV4_MASK_REPLY              18
#define ICMPV6_UNREACHABLE             1
#define ICMPV6_TOO_BIG                 2
#define ICMPV6_TIME_EXCEEDED           3
#define ICMPV6_PARAMETER               4
#define ICMPV6_ECHO                    128
#define ICMPV6_ECHO_REPLY              129
#define ICMPV6_NEIGHBOUR_SOLICITATION  135
#define ICMPV6_NEIGHBOUR_ADVERTISEMENT 136

/* What an IP header says, of either family; with the extension headers followed. Offsets are from the frame's start. */
struct ip_summary {
	struct addr src, dst;
	__u32 l4_off;
	be32 fragment_id;
	__u8 proto;
	bool is_v4;
	bool is_fragment;
	bool is_later_fragment;
};

static __always_inline int parse_ipv4(struct __sk_buff *skb, __u32 off, struct ip_summary *ip)
{
	struct iphdr header;
	__u16 fragment;

	if (bpf_skb_load_bytes(skb, off, &header, sizeof(header)))
		return -DROP_PARSE_SHORT;
	if (header.version != 4 || header.ihl < 5)
		return -DROP_IP_HEADER;

	addr_set_v4(&ip->src, header.saddr);
	addr_set_v4(&ip->dst, header.daddr);
	ip->proto = header.protocol;
	ip->l4_off = off + header.ihl * 4;
	fragment = bpf_ntohs(header.frag_off);
	ip->is_later_fragment = fragment & IPV4_FRAGMENT_OFFSET;
	ip->is_fragment = fragment & (IPV4_FRAGMENT_OFFSET | IPV4_MORE_FRAGMENTS);
	ip->fragment_id = bpf_htonl(bpf_ntohs(header.id));
	return 0;
}

static __always_inline bool proto_is_extension(__u8 proto)
{
	return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_DSTOPTS ||
	       proto == IPPROTO_FRAGMENT || proto == IPPROTO_AH;
}

/* Follows the extension headers that may stand before the payload's (RFC 8200, 4.1). */
static __always_inline int parse_extension_headers(struct __sk_buff *skb, struct ip_summary *ip)
{
	for (int i = 0; i < IPV6_EXTENSION_HEADERS; i++) {
		struct {
			__u8 next, length;
			__be16 fragment;
			be32 id;
		} header;

		/* What follows the header of a later fragment is the middle of something. */
		if (!proto_is_extension(ip->proto) || ip->is_later_fragment)
			return 0;
		if (bpf_skb_load_bytes(skb, ip->l4_off, &header, sizeof(header)))
			return -DROP_PARSE_SHORT;
		if (ip->proto == IPPROTO_FRAGMENT) {
			__u16 fragment = bpf_ntohs(header.fragment);

			ip->is_later_fragment = fragment & IPV6_FRAGMENT_OFFSET;
			ip->is_fragment = fragment & (IPV6_FRAGMENT_OFFSET | IPV6_MORE_FRAGMENTS);
			ip->fragment_id = header.id;
			ip->l4_off += 8;
		} else if (ip->proto == IPPROTO_AH) {
			ip->l4_off += (header.length + 2) * 4; /* RFC 4302, 2.2 */
		} else {
			/* Segments left (RFC 8200, 4.4): the destination in the IP header is only a stop. */
			if (ip->proto == IPPROTO_ROUTING && (bpf_ntohs(header.fragment) & 0xff))
				return -DROP_SOURCE_ROUTED;
			ip->l4_off += (header.length + 1) * 8;
		}
		ip->proto = header.next;
	}
	return proto_is_extension(ip->proto) && !ip->is_later_fragment ? -DROP_EXTENSION_HEADERS : 0;
}

/* An IPv4 address in an IPv6 header (::ffff:a.b.c.d, which is to be on no wire) would be taken for IPv4's. */
static __always_inline int parse_ipv6(struct __sk_buff *skb, __u32 off, struct ip_summary *ip)
{
	struct ipv6hdr header;

	if (bpf_skb_load_bytes(skb, off, &header, sizeof(header)))
		return -DROP_PARSE_SHORT;
	if (header.version != 6)
		return -DROP_IP_HEADER;

	__builtin_memcpy(&ip->src, &header.saddr, sizeof(ip->src));
	__builtin_memcpy(&ip->dst, &header.daddr, sizeof(ip->dst));
	if (addr_is_v4(&ip->src) || addr_is_v4(&ip->dst))
		return -DROP_IP_HEADER;
	ip->proto = header.nexthdr;
	ip->l4_off = off + sizeof(header);
	return parse_extension_headers(skb, ip);
}

/* The IP header at `off`, into `ip`, which is zeroed. */
__noinline int parse_ip(struct __sk_buff *skb, __u32 off, bool is_v4, struct ip_summary *ip)
{
	int err;

	if (!ip)
		return -DROP_INTERNAL;
	ip->is_v4 = is_v4;
	err = is_v4 ? parse_ipv4(skb, off, ip) : parse_ipv6(skb, off, ip);
	if (!err && ip->l4_off > skb->len)
		err = -DROP_PARSE_SHORT;
	return err;
}

static __always_inline bool icmp_is_error(bool is_v4, __u8 type)
{
	if (!is_v4)
		return type < ICMPV6_ECHO;
	return (type >= ICMPV4_UNREACHABLE && type <= ICMPV4_REDIRECT) || type == ICMPV4_TIME_EXCEEDED ||
	       type == ICMPV4_PARAMETER;
}

/* Queries carry an identifier, which is to ICMP what ports are to the others. */
static __always_inline bool icmp_has_identifier(bool is_v4, __u8 type)
{
	if (!is_v4)
		return type == ICMPV6_ECHO || type == ICMPV6_ECHO_REPLY;
	return type == ICMPV4_ECHO_REPLY || type == ICMPV4_ECHO ||
	       (type >= ICMPV4_TIMESTAMP && type <= ICMPV4_MASK_REPLY);
}

static __always_inline bool proto_is_icmp(bool is_v4, __u8 proto)
{
	return proto == (is_v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

/* The least length of the header behind the IP header; 0 for protocols that the datapath does not look into. */
static __always_inline __u32 l4_length(const struct ip_summary *ip)
{
	if (ip->proto == IPPROTO_TCP)
		return sizeof(struct tcphdr);
	if (ip->proto == IPPROTO_SCTP)
		return SCTP_HLEN;
	if (ip->proto == IPPROTO_UDP)
		return sizeof(struct udphdr);
	return proto_is_icmp(ip->is_v4, ip->proto) ? ICMP_HLEN : 0;
}

/* The ports of the header behind the IP header, all of which must be there. A quoted packet (in an ICMP error) may end
 * after 8 bytes of it, which is enough for all of them; of that one, nothing is put into `pkt`. */
__noinline int parse_ports(struct __sk_buff *skb, const struct ip_summary *ip, bool quoted, struct packet *pkt,
			   struct fragment_ports *ports)
{
	struct {
		be16 first, second, third, fourth;
	} header;
	__u32 length;
	__u8 type;

	if (!ip || !pkt || !ports)
		return -DROP_INTERNAL;
	length = l4_length(ip);
	if (!length)
		return 0;
	if (bpf_skb_load_bytes(skb, ip->l4_off, &header, sizeof(header)) || (!quoted && ip->l4_off + length > skb->len))
		return -DROP_PARSE_SHORT;

	if (proto_is_icmp(ip->is_v4, ip->proto)) {
		type = bpf_ntohs(header.first) >> 8;
		if (!quoted)
			pkt->icmp_type = type;
		if (icmp_has_identifier(ip->is_v4, type))
			ports->sport = ports->dport = header.third;
		return 0;
	}
	ports->sport = header.first;
	ports->dport = header.second;
	if (ip->proto == IPPROTO_TCP && !quoted &&
	    bpf_skb_load_bytes(skb, ip->l4_off + TCP_FLAGS_OFFSET, &pkt->tcp_flags, sizeof(pkt->tcp_flags)))
		return -DROP_PARSE_SHORT;
	return 0;
}

/* An ICMP error belongs to the flow of the packet that it quotes, and goes the other way (RFC 792; RFC 4443, 2.4). */
static __always_inline int parse_quoted(struct __sk_buff *skb, struct packet *pkt)
{
	struct fragment_ports ports = {};
	struct ip_summary ip = {};
	int err;

	err = parse_ip(skb, pkt->l4_off + ICMP_HLEN, pkt->is_v4, &ip);
	if (err)
		return err;
	if (ip.is_later_fragment)
		return -DROP_ICMP_UNRELATED;
	err = parse_ports(skb, &ip, true, pkt, &ports);
	if (err)
		return err;
	/* The error is for the sender of what it quotes, and a pod speaks for itself only. What comes from the host's stack
	 * may come from any router on the way. */
	if (!addr_equal(&ip.src, &pkt->outer_dst) ||
	    (pkt->hook == HOOK_FROM_POD && !addr_equal(&ip.dst, &pkt->outer_src)))
		return -DROP_ICMP_UNRELATED;
	pkt->key.proto = ip.proto;
	pkt->dir = flow_key_set(&pkt->key, &ip.dst, &ip.src, ports.dport, ports.sport);
	return 0;
}

/* What a pod sends is not checked yet: its record is for this interface alone. */
static __always_inline int parse_fragment(const struct packet *pkt, const struct ip_summary *ip,
					  struct fragment_ports *ports)
{
	struct fragment_key key = {
		.id = ip->fragment_id,
		.origin = pkt->origin,
		.proto = ip->is_v4 ? ip->proto : 0,
	};

	addr_copy(&key.src, &ip->src);
	addr_copy(&key.dst, &ip->dst);
	if (ip->is_later_fragment)
		return fragment_recall(&key, ports);
	fragment_record(&key, ports);
	return 0;
}

/* Later stages read and write the Ethernet and IP header in place. */
static __always_inline int headers_linear(struct __sk_buff *skb, bool is_v4)
{
	__u32 length = ETH_HLEN + (is_v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));

	if ((void *)(long)skb->data + length <= (void *)(long)skb->data_end)
		return 0;
	return bpf_skb_pull_data(skb, length) ? -DROP_REWRITE : 0;
}

__noinline int parse_rest(struct __sk_buff *skb, struct packet *pkt)
{
	const __be16 ethertype = ctx_load(skb, protocol);
	struct fragment_ports ports = {};
	struct ip_summary ip = {};
	int err;

	if (!pkt)
		return -DROP_INTERNAL;
	if (ethertype != bpf_htons(ETH_P_IP) && ethertype != bpf_htons(ETH_P_IPV6))
		return -DROP_NOT_IP;
	err = parse_ip(skb, ETH_HLEN, ethertype == bpf_htons(ETH_P_IP), &ip);
	if (err)
		return err;

	pkt->is_v4 = ip.is_v4;
	pkt->l4_proto = ip.proto;
	pkt->l4_off = ip.l4_off;
	pkt->is_later_fragment = ip.is_later_fragment;
	if (!ip.is_later_fragment) {
		err = parse_ports(skb, &ip, false, pkt, &ports);
		if (err)
			return err;
	}
	err = headers_linear(skb, ip.is_v4);
	if (err)
		return err;
	if (ip.is_fragment) {
		err = parse_fragment(pkt, &ip, &ports);
		if (err)
			return err;
	} else if (proto_is_icmp(ip.is_v4, ip.proto) && icmp_is_error(ip.is_v4, pkt->icmp_type)) {
		pkt->is_icmp_error = true;
		addr_copy(&pkt->outer_src, &ip.src);
		addr_copy(&pkt->outer_dst, &ip.dst);
		return parse_quoted(skb, pkt);
	}
	pkt->key.proto = ip.proto;
	pkt->dir = flow_key_set(&pkt->key, &ip.src, &ip.dst, ports.sport, ports.dport);
	return 0;
}

/* True where it could read the whole of the packet's headers. `l4` is what follows the IP header. */
static __always_inline bool parse_plain_l4(struct packet *pkt, __u8 proto, const struct addr *src,
					   const struct addr *dst, const void *l4, const void *data_end)
{
	const struct udphdr *udp = l4;
	const struct tcphdr *tcp = l4;

	if (proto == IPPROTO_TCP) {
		if ((const void *)(tcp + 1) > data_end)
			return false;
		pkt->tcp_flags = ((const __u8 *)tcp)[TCP_FLAGS_OFFSET];
	} else if (proto != IPPROTO_UDP || (const void *)(udp + 1) > data_end) {
		return false;
	}
	pkt->l4_proto = proto;
	pkt->key.proto = proto;
	pkt->dir = flow_key_set(&pkt->key, src, dst, udp->source, udp->dest);
	return true;
}

static __always_inline bool parse_plain(const void *data, const void *data_end, __be16 ethertype, struct packet *pkt)
{
	const struct iphdr *v4 = data + ETH_HLEN;
	const struct ipv6hdr *v6 = data + ETH_HLEN;
	struct addr src, dst;

	if (ethertype == bpf_htons(ETH_P_IP)) {
		if ((const void *)(v4 + 1) > data_end || *(const __u8 *)v4 != 0x45 ||
		    (v4->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET | IPV4_MORE_FRAGMENTS)))
			return false;
		addr_set_v4(&src, v4->saddr);
		addr_set_v4(&dst, v4->daddr);
		pkt->is_v4 = true;
		pkt->l4_off = ETH_HLEN + sizeof(*v4);
		return parse_plain_l4(pkt, v4->protocol, &src, &dst, v4 + 1, data_end);
	}
	if (ethertype != bpf_htons(ETH_P_IPV6) || (const void *)(v6 + 1) > data_end || v6->version != 6)
		return false;
	__builtin_memcpy(&src, &v6->saddr, sizeof(src));
	__builtin_memcpy(&dst, &v6->daddr, sizeof(dst));
	if (addr_is_v4(&src) || addr_is_v4(&dst))
		return false;
	pkt->l4_off = ETH_HLEN + sizeof(*v6);
	return parse_plain_l4(pkt, v6->nexthdr, &src, &dst, v6 + 1, data_end);
}

/* Who sends to whom, where the IP header is there, whatever is behind it. */
static __always_inline bool parse_addresses(const void *data, const void *data_end, __be16 ethertype,
					    struct packet *pkt)
{
	const struct iphdr *v4 = data + ETH_HLEN;
	const struct ipv6hdr *v6 = data + ETH_HLEN;
	struct addr src, dst;

	if (ethertype == bpf_htons(ETH_P_IP)) {
		if ((const void *)(v4 + 1) > data_end)
			return false;
		addr_set_v4(&src, v4->saddr);
		addr_set_v4(&dst, v4->daddr);
		pkt->l4_proto = v4->protocol;
	} else if (ethertype == bpf_htons(ETH_P_IPV6)) {
		if ((const void *)(v6 + 1) > data_end)
			return false;
		__builtin_memcpy(&src, &v6->saddr, sizeof(src));
		__builtin_memcpy(&dst, &v6->daddr, sizeof(dst));
		pkt->l4_proto = v6->nexthdr;
	} else {
		return false;
	}
	pkt->is_icmp_error = false;
	pkt->dir = flow_key_set(&pkt->key, &src, &dst, 0, 0);
	return true;
}

/* Fills `pkt`, whose origin and hook are set already. */
static __always_inline int packet_parse(struct __sk_buff *skb, struct packet *pkt)
{
	if (unlikely(vlan_tagged(skb))) {
		int err = vlan_untag(skb);

		if (err)
			return err;
	}
	pkt->ip_len = skb->len - ETH_HLEN;
	if (likely(parse_plain((void *)(long)skb->data, (void *)(long)skb->data_end, ctx_load(skb, protocol), pkt)))
		return 0;
	return parse_rest(skb, pkt);
}

#endif
