/* The pods of this node. Reads `endpoints`; the CNI plugin and the loader write it. */
#ifndef SLUICE_BPF_ENDPOINT_H
#define SLUICE_BPF_ENDPOINT_H

#include "lib/common.h"
#include "lib/config.h"
#include "lib/packet.h"
#include "maps/drop_reason.h"
#include "maps/endpoint.h"

/* max_entries is the default; the loader sets the configured one. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct addr);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

/* `address` is on the stack. */
static __always_inline const struct endpoint *endpoint_lookup(const struct addr *address)
{
	return bpf_map_lookup_elem(&endpoints, address);
}

/* A pod sends from its own addresses and its own MAC only, and to its gateway, whatever the next hop. */
static __always_inline int source_check(struct __sk_buff *skb, const struct endpoint *source)
{
	struct l2_pair l2;
	__u8 host_mac[6];

	if (!source || source->ifindex != skb->ifindex)
		return -DROP_SOURCE_SPOOFED;
	if (bpf_skb_load_bytes(skb, 0, &l2, sizeof(l2)))
		return -DROP_PARSE_SHORT;
	if (!mac_equal(l2.src, source->pod_mac))
		return -DROP_SOURCE_MAC;
	host_mac_copy(host_mac);
	return mac_equal(l2.dst, host_mac) ? 0 : -DROP_NOT_TO_GATEWAY;
}

/* Multicast: 224.0.0.0/4 (RFC 5771) and ff00::/8 (RFC 4291, 2.7); 240.0.0.0/4 (RFC 1112, 4) with the broadcast address
 * (RFC 919); 0.0.0.0/8 and :: are nobody's destination. */
static __always_inline bool addr_is_unicast(const struct addr *address)
{
	__u32 first = bpf_ntohl(address->word[addr_is_v4(address) ? 3 : 0]);

	if (addr_is_v4(address))
		return first >> 24 != 0 && first >> 28 < 14;
	return first >> 24 != 0xff && (address->word[0] | address->word[1] | address->word[2] | address->word[3]);
}

/* fe80::/10 (RFC 4291, 2.5.6): reaches nobody but the host's end of the pod's own link. 169.254.0.0/16 is left to the
 * host's stack, since clouds serve their metadata there. */
static __always_inline bool addr_is_link_local(const struct addr *address)
{
	return (bpf_ntohl(address->word[0]) & 0xffc00000) == 0xfe800000;
}

#endif
