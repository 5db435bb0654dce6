/* The switches of the programs: data that is set before load, so that the verifier removes what is off. The loader
 * (loader/program/object.cpp) fills them from the node's configuration. */
#ifndef SLUICE_BPF_CONFIG_H
#define SLUICE_BPF_CONFIG_H

#include "lib/common.h"
#include "maps/flow.h"

/* How long a flow is believed without traffic, by enum flow_timeout. */
const volatile __u64 cfg_timeout_ns[TIMEOUT_MAX] = {
	[TIMEOUT_TCP_OPENING] = 60 * CLOCK_NS_PER_S, [TIMEOUT_TCP_ESTABLISHED] = 86400 * CLOCK_NS_PER_S,
	[TIMEOUT_TCP_CLOSING] = 60 * CLOCK_NS_PER_S, [TIMEOUT_TCP_CLOSED] = 10 * CLOCK_NS_PER_S,
	[TIMEOUT_UDP_OPENING] = 30 * CLOCK_NS_PER_S, [TIMEOUT_UDP_ESTABLISHED] = 180 * CLOCK_NS_PER_S,
	[TIMEOUT_ICMP] = 30 * CLOCK_NS_PER_S,        [TIMEOUT_OTHER] = 600 * CLOCK_NS_PER_S,
};

/* Who the ICMP errors come from that this node owes as a router: an address of the node, else the pods' gateway. */
const volatile struct addr cfg_icmp_source_v4 = {};
const volatile struct addr cfg_icmp_source_v6 = {};

/* The node's address of each family: the client that a socket of the node is, where its node ports are, and this end of its
 * tunnels. Unset: ::. */
const volatile struct addr cfg_node_v4 = {};
const volatile struct addr cfg_node_v6 = {};

static __always_inline void node_address_copy(struct addr *to, bool v4)
{
	for (int i = 0; i < 4; i++)
		to->word[i] = v4 ? cfg_node_v4.word[i] : cfg_node_v6.word[i];
}

/* The pods' gateway, for which ARP and neighbour solicitations are answered, and the MAC address of the host's end of
 * every pod's interface. */
const volatile __u8 cfg_host_mac[6] = {};
const volatile struct addr cfg_gateway_v4 = {};
const volatile struct addr cfg_gateway_v6 = {};

/* Packets for pods of other nodes go through tunnels with this network identifier (RFC 7348, 5), in frames with these MAC
 * addresses: to all nodes' tunnel devices, which have the pods' gateway's, from none's. */
const volatile bool cfg_overlay = false;
const volatile __u32 cfg_vni = 0;
const volatile __u8 cfg_tunnel_mac[6] = {};

const volatile __u16 cfg_tunnel_port = 0;

/* Packets for pods of other nodes go by the node's routes, and come by its uplinks. With the overlay, too, a node's flags
 * say which of the two it is (maps/node.h). */
const volatile bool cfg_native = false;

/* What pods send to the world leaves under the node's address, unless it is for one of these blocks. */
#define UNMASQUERADED_MAX 32
const volatile bool cfg_masquerade = false;
const volatile __u32 cfg_unmasqueraded_count = 0;
const volatile struct addr cfg_unmasqueraded[UNMASQUERADED_MAX] = {};
const volatile struct addr cfg_unmasqueraded_mask[UNMASQUERADED_MAX] = {};

/* The most ICMP errors a second that each CPU sends (RFC 1812, 4.3.2.8; RFC 4443, 2.4 f). */
const volatile __u32 cfg_icmp_errors_per_second = 1000;

/* Only in the instance of bpfctl trace (loader/program/tracer.hpp), which shares the tables that the slow path reads with
 * the programs in force: what it decides is not written down. */
const volatile bool cfg_trace = false;

/* Outside clients of endpoints on other nodes are answered by those (lib/direct.h). The node's block of IPv6 addresses for pods:
 * its upper half is that of all of them. */
const volatile bool cfg_direct = false;
const volatile struct addr cfg_pods_v6 = {};

static __always_inline void tunnel_l2_copy(__u8 *frame)
{
	for (int i = 0; i < 6; i++) {
		frame[i] = cfg_host_mac[i];
		frame[6 + i] = cfg_tunnel_mac[i];
	}
}

static __always_inline void host_mac_copy(__u8 *to)
{
	for (int i = 0; i < 6; i++)
		to[i] = cfg_host_mac[i];
}

#endif
