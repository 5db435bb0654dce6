/* Why a packet was dropped: one list, which the programs, the metrics and bpfctl share. Numbers are never reused. A
 * reason's text tells the one who lost the packet what is wrong with it. */
#ifndef SLUICE_MAPS_DROP_REASON_H
#define SLUICE_MAPS_DROP_REASON_H

#include "maps/types.h"

#define SLUICE_DROP_REASONS(X)                                                                                        \
	X(1, PARSE_SHORT, "packet ends inside a header")                                                              \
	X(2, NOT_IP, "frame carries neither IPv4 nor IPv6")                                                           \
	X(3, IP_HEADER, "IP header is malformed: version, header length, or an IPv4 address in IPv6")                 \
	X(4, EXTENSION_HEADERS, "more IPv6 extension headers than are followed (8)")                                  \
	X(5, SOURCE_ROUTED, "IPv6 routing header asks for a way of its own")                                          \
	X(6, VLAN, "frame is tagged for a VLAN, which pod interfaces have not")                                       \
	X(7, FRAGMENT_UNKNOWN, "later fragment of a packet whose first fragment has not been seen")                   \
	X(8, SOURCE_SPOOFED, "source address is not this pod's")                                                      \
	X(9, SOURCE_MAC, "source MAC address is not this pod's")                                                      \
	X(10, NOT_TO_GATEWAY, "frame is not addressed to the pod's gateway")                                          \
	X(11, NOT_UNICAST, "multicast and broadcast do not leave a pod")                                              \
	X(12, LINK_LOCAL, "link-local traffic does not leave a pod's link")                                           \
	X(13, NOT_THIS_POD, "destination address is not the pod's behind this interface")                             \
	X(14, TTL_EXPIRED, "TTL or hop limit has run out (the sender is told)")                                       \
	X(15, TOO_BIG, "packet is larger than the destination's MTU and must not be fragmented (the sender is told)") \
	X(16, ICMP_UNRELATED, "ICMP error about a connection that is not known")                                      \
	X(17, NEIGHBOUR, "ARP or neighbour discovery for another than the gateway")                                   \
	X(18, REWRITE, "packet cannot be changed: it is a fragment of SCTP, or the kernel refused")                   \
	X(19, INTERNAL, "a map that is always there could not be read")                                               \
	X(20, NO_BACKEND, "service has no ready endpoint, or none at this port (the sender is told)")                 \
	X(21, NO_LOCAL_BACKEND, "service with policy Local has no ready endpoint on this node")                       \
	X(22, SOURCE_RANGE, "client is in none of the service's loadBalancerSourceRanges")                            \
	X(23, TUPLE_IN_USE, "addresses and ports belong to a translated connection")                                  \
	X(24, NO_PORT, "no source port is left to translate this connection to")                                      \
	X(25, FLOW_TABLE, "translated connection could not be written down: the flow table refused it")               \
	X(26, POLICY_EGRESS, "egress policy of the sender does not allow it")                                         \
	X(27, POLICY_INGRESS, "ingress policy of the receiver does not allow it")                                     \
	X(28, FOREIGN_TUNNEL, "tunnel does not come from the node that the sender's address is behind")               \
	X(29, FOREIGN_VNI, "tunnel has the network identifier (VNI) of another cluster")                              \
	X(30, NO_SUCH_POD, "tunnel brought a packet for an address that is no pod's of this node")                    \
	X(31, NO_TUNNEL, "way to the destination's node is not known: its address or this node's tunnel device")      \
	X(32, NO_UPLINK, "way to the world is not known: the interface is none of this node's uplinks")               \
	X(33, NO_SOURCE, "node has no address of the packet's family on the uplink, to send it under")                \
	X(34, NODE_BACKEND, "service's endpoint is this node itself, where outside clients are not sent by it")       \
	X(35, SOURCE_FORGED, "no uplink brings this source address to a pod: the node's own, or a pod's elsewhere")   \
	X(36, DENIED_SOURCE, "source address is in a block of the node's deny list (bpfctl deny list)")               \
	X(37, NOT_NODES_OWN, "node's stack sends it to another node's pod, and not from the node's own address")

SLUICE_LAYOUTS_BEGIN

enum drop_reason {
	DROP_NONE = 0, /* forwarded */
#define X(number, name, text) DROP_##name = number,
	SLUICE_DROP_REASONS(X)
#undef X
		DROP_REASON_MAX = 64, /* room in the metrics map: a new reason needs no new layout */
};

SLUICE_LAYOUTS_END

#endif
