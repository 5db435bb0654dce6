// SPDX-License-Identifier: GPL-2.0-only
/* What a call of the node's own processes that names an address is given, for bpfctl trace: programs on a control group know
 * no test run, so this one asks in their place by the same stages. It is attached nowhere, and writes nothing (cfg_trace). */
#include "lib/common.h"
#include "lib/socket.h"
#include "maps/socket_trace.h"

SEC("tc")
int socket_trace(struct __sk_buff *skb)
{
	struct socket_question question = {};
	struct service_request request = {};
	const struct service *service = NULL;
	struct socket_end end = {};
	int err = 0;

	if (bpf_skb_load_bytes(skb, SOCKET_QUESTION_AT, &question, sizeof(question)))
		return TC_ACT_SHOT;
	addr_copy(&end.addr, &question.addr);
	end.port = question.port;
	request_set(&request, question.proto, &end);
	if (runtime.has_services)
		service = service_for_node(&request, &err);
	if (service) {
		question.service = service->id;
		err = socket_balance(service, &request, &question.peer);
	}
	question.refused = -err;
	return bpf_skb_store_bytes(skb, SOCKET_QUESTION_AT, &question, sizeof(question), 0) ? TC_ACT_SHOT :
											      TC_ACT_UNSPEC;
}

char sluice_license[] SEC("license") = "GPL";
