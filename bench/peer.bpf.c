// SPDX-License-Identifier: GPL-2.0-only
/* The least that a same-node datapath can do: whatever a pod sends goes into the other pod, unseen. It is the measure
 * for from_pod. The host ends of the two pods have neighbouring interface indexes, an even one and the next odd one. */
#include "bpf/lib/common.h"

SEC("tc")
int peer(struct __sk_buff *skb)
{
	return bpf_redirect_peer(skb->ifindex ^ 1, 0);
}

char LICENSE[] SEC("license") = "GPL";
