/* What bpfctl trace asks bpf/socket_trace.bpf.c, behind an Ethernet header in the packet of a test run, and is answered in
 * its place. No ABI: only program and reader of one build share it. */
#ifndef SLUICE_MAPS_SOCKET_TRACE_H
#define SLUICE_MAPS_SOCKET_TRACE_H

#include "maps/socket.h"
#include "maps/types.h"

SLUICE_LAYOUTS_BEGIN

#define SOCKET_QUESTION_AT 14 /* bytes: a test run wants an Ethernet header */

struct socket_question {
	struct addr addr; /* that a socket of the node connects to, or sends a datagram */
	be16 port;
	__u8 proto; /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 pad;
	__u32 service; /* answer: of whose address it is; 0: of none */
	__u32 refused; /* answer: why the call fails, enum drop_reason; 0: it does not */
	__u32 pad2;
	struct socket_peer peer; /* answer: who it is given, where it is a Service's */
};
static_assert(sizeof(struct socket_question) == 64, "struct socket_question has no hidden padding");

SLUICE_LAYOUTS_END

#endif
