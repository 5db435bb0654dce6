// SPDX-License-Identifier: GPL-2.0-only
/* What the datapath is measured beside: a program that does nothing, one that only looks up one key of the flow table, one
 * that only inserts one; one that makes a packet of a new flow out of the last and hands it to the program under test, and
 * one that makes it again what it was before the last run. The first, the second and the last for XDP, too. */
#include "lib/common.h"
#include "maps/flow.h"

/* The node's own table, put here by the driver. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct flow_key);
	__type(value, struct flow_entry);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} under_test SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} xdp_under_test SEC(".maps");

/* How the frame of `restore` and `xdp_restore` begins, and how long it is. */
#define BENCH_HEAD 128
__u64 bench_head[BENCH_HEAD / 8];
__u32 bench_length;

struct flow_key bench_key;
struct flow_entry bench_entry;
__u32 bench_packets;

SEC("tc")
int nothing(struct __sk_buff *skb)
{
	return 0;
}

SEC("tc")
int lookup(struct __sk_buff *skb)
{
	struct flow_key key = bench_key;

	return bpf_map_lookup_elem(&flows, &key) != NULL;
}

SEC("tc")
int insert(struct __sk_buff *skb)
{
	struct flow_key key = bench_key;

	key.port[0] = bench_packets;
	key.port[1] = bench_packets >> 16;
	return bpf_map_update_elem(&flows, &key, &bench_entry, BPF_ANY);
}

/* IPv4 and UDP: each packet is from the next port, and every 65536 packets to the next one. */
SEC("tc")
int next_flow(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > data_end)
		return TC_ACT_SHOT;
	bench_packets++;
	ip->ttl = 64;
	udp->source = bpf_htons(bench_packets);
	udp->dest = bpf_htons(bench_packets >> 16);
	bpf_tail_call(skb, &under_test, 0);
	return TC_ACT_SHOT;
}

static __always_inline bool head_write(void *data, void *data_end)
{
	__u64 *words = data;

	if (data + BENCH_HEAD > data_end)
		return false;
	for (int i = 0; i < BENCH_HEAD / 8; i++)
		words[i] = bench_head[i];
	return true;
}

SEC("tc")
int restore(struct __sk_buff *skb)
{
	if (head_write((void *)(long)skb->data, (void *)(long)skb->data_end))
		bpf_tail_call(skb, &under_test, 0);
	return TC_ACT_SHOT;
}

SEC("xdp")
int xdp_nothing(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp")
int xdp_lookup(struct xdp_md *ctx)
{
	struct flow_key key = bench_key;

	return bpf_map_lookup_elem(&flows, &key) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int xdp_restore(struct xdp_md *ctx)
{
	int longer = bpf_xdp_get_buff_len(ctx) - bench_length;

	if (longer && bpf_xdp_adjust_head(ctx, longer))
		return XDP_ABORTED;
	if (head_write((void *)(long)ctx->data, (void *)(long)ctx->data_end))
		bpf_tail_call(ctx, &xdp_under_test, 0);
	return XDP_ABORTED;
}

char bench_license[] SEC("license") = "GPL";
