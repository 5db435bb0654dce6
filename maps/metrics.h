/* metrics: packets and bytes by drop reason (0: forwarded) and hook, per CPU. Array; index: metric_index().
 * counters: what else is counted, one number each, per CPU. Array; index: enum counter. */
#ifndef SLUICE_MAPS_METRICS_H
#define SLUICE_MAPS_METRICS_H

#include "maps/drop_reason.h"
#include "maps/types.h"

/* Where the datapath sees a packet. Never renumbered. */
#define SLUICE_HOOKS(X)                                                                                   \
	X(0, FROM_POD, "from_pod", "what a pod sends")                                                    \
	X(1, TO_POD, "to_pod", "what the host's stack sends to a pod")                                    \
	X(2, FROM_OVERLAY, "from_overlay", "what other nodes send through the tunnel")                    \
	X(3, FROM_UPLINK, "from_uplink", "what the world sends to Services and answers to pods")          \
	X(4, TO_OVERLAY, "to_overlay", "what the node itself sends to pods behind tunnels")               \
	X(5, XDP_UPLINK, "xdp_uplink", "what the world sends, before the kernel has made a packet of it") \
	X(7, SOCKET, "socket", "what sockets of the node ask for: connections and datagrams to Services")

#define SLUICE_COUNTERS(X)                                                                                         \
	X(0, FLOW_CREATED, "flow_created", "connections that got a flow entry")                                    \
	X(1, FLOW_REDECIDED, "flow_redecided", "directions of a connection decided anew after a change")           \
	X(2, FLOW_INSERT_RETRIED, "flow_insert_retried", "writes of a flow entry that had to be repeated")         \
	X(3, FLOW_INSERT_FAILED, "flow_insert_failed", "flow entries not written; the packet went its way")        \
	X(4, FRAGMENT_INSERT_FAILED, "fragment_insert_failed", "first fragments whose ports were not recorded")    \
	X(5, EVENT_LOST, "event_lost", "events for an observer whose buffer was full")                             \
	X(6, ICMP_ERROR_SENT, "icmp_error_sent", "ICMP errors sent to a pod")                                      \
	X(7, ICMP_ERROR_LIMITED, "icmp_error_limited", "ICMP errors not sent, to keep their rate bounded")         \
	X(8, NEIGHBOUR_ANSWERED, "neighbour_answered", "ARP and neighbour solicitations for the gateway answered") \
	X(9, POLICY_AUDITED, "policy_audited",                                                                     \
	  "directions of a connection that policy in audit mode would have denied")                                \
	X(10, SOCKET_TRANSLATED, "socket_translated", "calls of sockets in which a backend took a Service's place")

SLUICE_LAYOUTS_BEGIN

enum hook {
#define X(number, name, label, text) HOOK_##name = number,
	SLUICE_HOOKS(X)
#undef X
		HOOK_MAX = 8, /* room in the metrics map */
};

enum counter {
#define X(number, name, label, text) COUNTER_##name = number,
	SLUICE_COUNTERS(X)
#undef X
		COUNTER_MAX = 64, /* room in the map */
};

struct metric {
	__u64 packets; /* as the datapath sees them: a GSO packet counts once */
	__u64 bytes;   /* of the whole frame */
};
static_assert(sizeof(struct metric) == 16, "struct metric is map ABI");

#define METRIC_MAX (DROP_REASON_MAX * HOOK_MAX)

static inline __u32 metric_index(__u32 reason, __u32 hook)
{
	return reason * HOOK_MAX + hook;
}

SLUICE_LAYOUTS_END

#endif
