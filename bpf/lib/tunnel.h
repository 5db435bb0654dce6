/* Tunnels between the nodes (VXLAN, RFC 7348): the kernel's device puts the outer headers around a packet as its tunnel key
 * says, and says by one what was around a packet that has come. Reads `nodes`, which loader and agent write.
 *
 * The source port is the device's: a hash of the inner packet, so that a flow keeps one way through the underlay and many
 * flows use all of them. */
#ifndef SLUICE_BPF_TUNNEL_H
#define SLUICE_BPF_TUNNEL_H

#include "lib/common.h"
#include "lib/config.h"
#include "lib/node.h"
#include "maps/drop_reason.h"

#define TUNNEL_TTL 64

/* Tells the tunnel device where to send the packet. A packet that may be fragmented on its way is sent so that its outer
 * one may be. Over IPv4 the outer checksum is left out, as RFC 7348, 5 wants it; over IPv6 receivers want one. */
__noinline int tunnel_enter(struct __sk_buff *skb, __u32 id, __u32 may_fragment)
{
	struct bpf_tunnel_key key = { .tunnel_id = cfg_vni, .tunnel_ttl = TUNNEL_TTL };
	const struct node *node = node_lookup(id);
	__u64 flags;

	if (!node || !node_exists(node))
		return -DROP_NO_TUNNEL;
	if (addr_is_v4(&node->address)) {
		key.remote_ipv4 = bpf_ntohl(node->address.word[3]);
		flags = BPF_F_ZERO_CSUM_TX;
	} else {
		for (int i = 0; i < 4; i++)
			key.remote_ipv6[i] = node->address.word[i];
		flags = BPF_F_TUNINFO_IPV6;
	}
	if (!may_fragment)
		flags |= BPF_F_DONT_FRAGMENT;
	return bpf_skb_set_tunnel_key(skb, &key, sizeof(key), flags) ? -DROP_NO_TUNNEL : 0;
}

/* The packet has come by a tunnel of this cluster, from the node `id`. */
__noinline int tunnel_check(struct __sk_buff *skb, __u32 id)
{
	const struct node *node = node_lookup(id);
	struct bpf_tunnel_key key = {};
	bool is_v4;

	if (id == NODE_HERE || !node || !node_exists(node))
		return -DROP_FOREIGN_TUNNEL;
	is_v4 = addr_is_v4(&node->address);
	if (bpf_skb_get_tunnel_key(skb, &key, sizeof(key), is_v4 ? 0 : BPF_F_TUNINFO_IPV6))
		return -DROP_FOREIGN_TUNNEL;
	if (key.tunnel_id != cfg_vni)
		return -DROP_FOREIGN_VNI;
	if (is_v4)
		return key.remote_ipv4 == bpf_ntohl(node->address.word[3]) ? 0 : -DROP_FOREIGN_TUNNEL;
	for (int i = 0; i < 4; i++)
		if (key.remote_ipv6[i] != node->address.word[i])
			return -DROP_FOREIGN_TUNNEL;
	return 0;
}

#endif
