// SPDX-License-Identifier: GPL-2.0-only
/* The program on the uplinks themselves: it sees a frame before the kernel has made a packet of it, and what it takes never
 * becomes one. All else goes on to from_uplink (pod.bpf.c). */
#include "lib/bounce.h"
#include "lib/common.h"
#include "lib/deny.h"
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/runtime.h"
#include "lib/xdp.h"

/* Not for frames in several buffers (xdp.frags): in generic mode such a program costs a packet that passes its mac_len, and tc's
 * programs then see it without its Ethernet header (6.18). */
SEC("xdp")
int xdp_uplink(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct packet pkt = { .hook = HOOK_XDP_UPLINK, .origin = FLOW_ORIGIN_UPLINK };
	const struct ethhdr *eth = data;
	bool plain;
	int err;

	if ((const void *)(eth + 1) > data_end)
		return xdp_pass();
	plain = parse_plain(data, data_end, eth->h_proto, &pkt);
	if (!plain && !parse_addresses(data, data_end, eth->h_proto, &pkt))
		return xdp_pass();
	if (unlikely(runtime.has_denied) && source_denied(&pkt))
		return xdp_drop(ctx, &pkt, -DROP_DENIED_SOURCE);
	/* Who watches every packet sees them in from_uplink. */
	if (!plain || !runtime.has_services || runtime.packet_observers)
		return xdp_pass();
	pkt.ip_len = bpf_xdp_get_buff_len(ctx) - ETH_HLEN;
	err = bounce(ctx, &pkt);
	if (err == BOUNCE_NO)
		return xdp_pass();
	return err ? xdp_drop(ctx, &pkt, err) : xdp_send(&pkt);
}

char sluice_license[] SEC("license") = "GPL";
