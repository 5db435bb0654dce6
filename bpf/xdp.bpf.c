// SPDX-License-Identifier: GPL-2.0-only
/* The program on the uplinks themselves: it sees a frame before the kernel has made a packet of it, and what it takes never
 * becomes one. All else goes on to from_uplink (pod.bpf.c). */
#include "lib/common.h"
#include "lib/deny.h"
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/runtime.h"
#include "lib/xdp.h"

SEC("xdp.frags")
int xdp_uplink(struct xdp_md *ctx)
{
	const void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct packet pkt = { .hook = HOOK_XDP_UPLINK, .origin = FLOW_ORIGIN_UPLINK };
	const struct ethhdr *eth = data;

	if ((const void *)(eth + 1) > data_end)
		return xdp_pass();
	if (!parse_plain(data, data_end, eth->h_proto, &pkt) && !parse_addresses(data, data_end, eth->h_proto, &pkt))
		return xdp_pass();
	if (unlikely(runtime.has_denied) && source_denied(&pkt))
		return xdp_drop(ctx, &pkt, -DROP_DENIED_SOURCE);
	return xdp_pass();
}

char sluice_license[] SEC("license") = "GPL";
