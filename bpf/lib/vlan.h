/* VLAN tags (IEEE 802.1Q). Pods' interfaces are in no VLAN: a tag with VLAN 0 only carries a priority and is taken off
 * (6.9.1: priority-tagged frames belong to the port's own VLAN), any other tag is refused. */
#ifndef SLUICE_BPF_VLAN_H
#define SLUICE_BPF_VLAN_H

#include "lib/common.h"
#include "maps/drop_reason.h"

#define VLAN_VID_MASK 0x0fff
#define VLAN_TAGS_MAX 2 /* 802.1ad: one of the provider, one of the customer */

static __always_inline bool vlan_ethertype(__be16 ethertype)
{
	return ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD);
}

static __always_inline bool vlan_tagged(const struct __sk_buff *skb)
{
	return ctx_load(skb, vlan_present) || vlan_ethertype(ctx_load(skb, protocol));
}

/* A tag is beside the packet (taken off by the device) or in it. bpf_skb_vlan_pop takes the one beside it first. */
__noinline int vlan_untag(struct __sk_buff *skb)
{
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		__be16 tci;

		if (ctx_load(skb, vlan_present))
			tci = bpf_htons(ctx_load(skb, vlan_tci));
		else if (!vlan_ethertype(ctx_load(skb, protocol)))
			return 0;
		else if (bpf_skb_load_bytes(skb, ETH_HLEN, &tci, sizeof(tci)))
			return -DROP_PARSE_SHORT;
		if (tci & bpf_htons(VLAN_VID_MASK))
			return -DROP_VLAN;
		if (bpf_skb_vlan_pop(skb))
			return -DROP_REWRITE;
	}
	return vlan_tagged(skb) ? -DROP_VLAN : 0;
}

#endif
