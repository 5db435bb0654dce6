/* Counting. Writes `metrics` (by reason and hook) and `counters`, both per CPU. */
#ifndef SLUICE_BPF_METRICS_H
#define SLUICE_BPF_METRICS_H

#include "lib/common.h"
#include "maps/metrics.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, METRIC_MAX);
	__type(key, __u32);
	__type(value, struct metric);
} metrics SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTER_MAX);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void metric_count(__u32 reason, __u32 hook, __u32 bytes)
{
	__u32 index = metric_index(reason, hook);
	struct metric *metric = bpf_map_lookup_elem(&metrics, &index);

	if (metric) {
		metric->packets++;
		metric->bytes += bytes;
	}
}

static __always_inline void counter_add(__u32 counter)
{
	__u64 *count = bpf_map_lookup_elem(&counters, &counter);

	if (count)
		(*count)++;
}

#endif
