/* The ways out of xdp_uplink. XDP_* appear here only. */
#ifndef SLUICE_BPF_XDP_H
#define SLUICE_BPF_XDP_H

#include "lib/common.h"
#include "lib/event.h"
#include "lib/metrics.h"
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/runtime.h"

/* On to from_uplink, which knows all that is not known here. */
static __always_inline int xdp_pass(void)
{
	return XDP_PASS;
}

static __always_inline int xdp_drop(struct xdp_md *ctx, const struct packet *pkt, int err)
{
	const __u32 reason = -err & (DROP_REASON_MAX - 1), length = bpf_xdp_get_buff_len(ctx);

	metric_count(reason, pkt->hook, length);
	if (runtime.observers)
		event_about(pkt, NULL, event_place(ctx->ingress_ifindex, length), event_kind(EVENT_DROPPED, reason));
	return XDP_DROP;
}

/* Out of the uplink that has brought it. */
static __always_inline int xdp_send(const struct packet *pkt)
{
	metric_count(DROP_NONE, pkt->hook, pkt->ip_len + ETH_HLEN);
	return XDP_TX;
}

#endif
