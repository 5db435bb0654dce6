/* Direct server return: an outside client of a Service that is sent on to another node keeps its address and port, and is
 * answered by that node itself, from the Service's address, past the node that it has asked.
 *
 * The packet travels as it is, still addressed to the Service, and the frame in the tunnel names the endpoint: its MAC addresses,
 * which say nothing else there, hold the lower 64 bits of the endpoint's address and its port. So no packet gets longer
 * and every one names its endpoint: whichever node loses its entry makes the same one again from the next packet. An IPv4
 * address lies in the 64 bits as a whole; the upper half of an IPv6 address is that of the receiver's own block.
 *
 * A node of the cluster is believed that an outside client has sent this, as a router is, and nothing else: not that the client is a
 * pod or a node, nor that the endpoint is here. Policy is asked about the client's own address. */
#ifndef SLUICE_BPF_DIRECT_H
#define SLUICE_BPF_DIRECT_H

#include "lib/common.h"
#include "lib/config.h"
#include "maps/drop_reason.h"
#include "maps/flow.h"

#define DIRECT_MAC 0x0a /* how both MAC addresses begin: locally administered, of one interface, and no other of ours */

/* The MAC addresses of a frame that names the endpoint of `to`. */
static __always_inline void direct_name(__u8 *frame, const struct flow_translation *to)
{
	const __u8 *address = (const __u8 *)&to->dst + 8, *port = (const __u8 *)&to->dport;

	frame[0] = frame[6] = DIRECT_MAC;
	for (int i = 0; i < 5; i++)
		frame[1 + i] = address[i];
	for (int i = 0; i < 3; i++)
		frame[7 + i] = address[5 + i];
	frame[10] = port[0];
	frame[11] = port[1];
}

static __always_inline bool direct_named(const struct __sk_buff *skb)
{
	const __u8 *frame = (void *)(long)skb->data;

	return frame + 12 <= (const __u8 *)(long)skb->data_end && frame[0] == DIRECT_MAC && frame[6] == DIRECT_MAC;
}

/* The frame names this endpoint. */
static __always_inline bool direct_expected(const struct __sk_buff *skb, const struct flow_translation *to)
{
	const __u8 *frame = (void *)(long)skb->data;
	__u8 want[12];

	if (frame + 12 > (const __u8 *)(long)skb->data_end)
		return false;
	direct_name(want, to);
	for (int i = 0; i < 12; i++)
		if (frame[i] != want[i])
			return false;
	return true;
}

/* The endpoint that the frame names. */
static __always_inline int direct_read(struct __sk_buff *skb, bool is_v4, struct flow_translation *to)
{
	__u8 frame[12], *address = (__u8 *)&to->dst + 8, *port = (__u8 *)&to->dport;

	if (bpf_skb_load_bytes(skb, 0, frame, sizeof(frame)))
		return -DROP_PARSE_SHORT;
	to->dst.word[0] = is_v4 ? 0 : cfg_pods_v6.word[0];
	to->dst.word[1] = is_v4 ? 0 : cfg_pods_v6.word[1];
	for (int i = 0; i < 5; i++)
		address[i] = frame[1 + i];
	for (int i = 0; i < 3; i++)
		address[5 + i] = frame[7 + i];
	port[0] = frame[10];
	port[1] = frame[11];
	return 0;
}

/* The MAC addresses of a frame on its way into a tunnel. */
static __always_inline void tunnel_l2_write(__u8 *frame, const struct flow_entry *entry)
{
	if (unlikely((entry->flags & (FLOW_DIRECT | FLOW_TRANSLATED)) == FLOW_DIRECT))
		direct_name(frame, &entry->to);
	else
		tunnel_l2_copy(frame);
}

#endif
