/* ARP (RFC 826) and neighbour discovery (RFC 4861) of pods. Their gateway and its MAC are set when a pod is attached, so
 * they have nothing to ask; one that asks all the same (a virtual machine inside it, say) is answered for the gateway, and
 * for nobody else. Reads `endpoints`. */
#ifndef SLUICE_BPF_NEIGHBOUR_H
#define SLUICE_BPF_NEIGHBOUR_H

#include "lib/common.h"
#include "lib/config.h"
#include "lib/endpoint.h"
#include "lib/icmp.h"
#include "lib/metrics.h"
#include "lib/packet.h"

#define ARP_HARDWARE_ETHERNET         1
#define ARP_REQUEST                   1
#define ARP_REPLY                     2
#define ND_OPTION_TARGET_LINK_ADDRESS 2
#define ND_HOP_LIMIT                  255
#define NA_SOLICITED                  (1U << 30)
#define NA_OVERRIDE                   (1U << 29)

struct arp_packet {
	be16 hardware, protocol;
	__u8 hardware_len, protocol_len;
	be16 operation;
	__u8 sender_mac[6];
	be32 sender_ip;
	__u8 target_mac[6];
	be32 target_ip;
} __attribute__((packed));

__noinline int arp_answer(struct __sk_buff *skb)
{
	const struct endpoint *source;
	struct addr sender;
	struct arp_packet arp;
	__u32 gateway = cfg_gateway_v4.word[3];
	int err;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &arp, sizeof(arp)))
		return -DROP_PARSE_SHORT;
	if (arp.hardware != bpf_htons(ARP_HARDWARE_ETHERNET) || arp.protocol != bpf_htons(ETH_P_IP) ||
	    arp.operation != bpf_htons(ARP_REQUEST) || arp.target_ip != gateway)
		return -DROP_NEIGHBOUR;
	addr_set_v4(&sender, arp.sender_ip);
	source = endpoint_lookup(&sender);
	if (!source || source->ifindex != skb->ifindex)
		return -DROP_SOURCE_SPOOFED;
	if (!mac_equal(arp.sender_mac, source->pod_mac))
		return -DROP_SOURCE_MAC;

	arp.operation = bpf_htons(ARP_REPLY);
	__builtin_memcpy(arp.target_mac, arp.sender_mac, sizeof(arp.target_mac));
	arp.target_ip = arp.sender_ip;
	host_mac_copy(arp.sender_mac);
	arp.sender_ip = gateway;
	err = l2_turn_around(skb);
	if (err)
		return err;
	return bpf_skb_store_bytes(skb, ETH_HLEN, &arp, sizeof(arp), 0) ? -DROP_REWRITE : 0;
}

struct neighbour_advertisement {
	struct ipv6hdr ip;
	__u8 type, code;
	__sum16 checksum;
	be32 flags;
	struct in6_addr target;
	__u8 option, option_len; /* in units of 8 bytes */
	__u8 mac[6];
};

/* Duplicate address detection (from ::) gets no answer; nobody may have the gateway's address, and nobody asks for it. */
__noinline int nd_answer(struct __sk_buff *skb, const struct packet *pkt)
{
	struct {
		be32 length, next;
	} pseudo = { bpf_htonl(32), bpf_htonl(IPPROTO_ICMPV6) };
	struct neighbour_advertisement na;
	struct addr gateway, source, target;
	int err;

	if (!pkt)
		return -DROP_INTERNAL;
	for (int i = 0; i < 4; i++)
		gateway.word[i] = cfg_gateway_v6.word[i];
	addr_copy(&source, packet_src(pkt));
	if (pkt->l4_off != ETH_HLEN + sizeof(na.ip) || skb->len < ETH_HLEN + sizeof(na) - 8 ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, &na, sizeof(na) - 8))
		return -DROP_PARSE_SHORT;
	__builtin_memcpy(&target, &na.target, sizeof(target));
	if (na.ip.hop_limit != ND_HOP_LIMIT || !addr_equal(&target, &gateway) || !addr_is_unicast(&source))
		return -DROP_NEIGHBOUR;

	__builtin_memcpy(&na.ip.daddr, &source, sizeof(source));
	__builtin_memcpy(&na.ip.saddr, &gateway, sizeof(gateway));
	na.ip.payload_len = bpf_htons(32);
	na.type = ICMPV6_NEIGHBOUR_ADVERTISEMENT;
	na.code = 0;
	na.checksum = 0;
	na.flags = bpf_htonl(NA_SOLICITED | NA_OVERRIDE);
	na.option = ND_OPTION_TARGET_LINK_ADDRESS;
	na.option_len = 1;
	host_mac_copy(na.mac);
	na.checksum = checksum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&na.ip.saddr, sizeof(na) - 8,
						  bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0)));
	err = l2_turn_around(skb);
	if (err)
		return err;
	if (bpf_skb_change_tail(skb, ETH_HLEN + sizeof(na), 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN, &na, sizeof(na), 0))
		return -DROP_REWRITE;
	return 0;
}

static __always_inline bool is_neighbour_solicitation(const struct packet *pkt)
{
	return pkt->l4_proto == IPPROTO_ICMPV6 && pkt->icmp_type == ICMPV6_NEIGHBOUR_SOLICITATION;
}

/* 0: the packet has become the answer. */
static __always_inline int neighbour_answer(struct __sk_buff *skb, const struct packet *pkt, int reason)
{
	int err;

	if (reason == -DROP_NEIGHBOUR)
		err = nd_answer(skb, pkt);
	else if (ctx_load(skb, protocol) == bpf_htons(ETH_P_ARP))
		err = arp_answer(skb);
	else
		return reason;
	if (!err)
		counter_add(COUNTER_NEIGHBOUR_ANSWERED);
	return err;
}

#endif
