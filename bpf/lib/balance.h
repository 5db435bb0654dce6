/* The stage of the slow path that turns a connection to a Service into one to a backend of it (lib/service.h). */
#ifndef SLUICE_BPF_BALANCE_H
#define SLUICE_BPF_BALANCE_H

#include "lib/common.h"
#include "lib/flow.h"
#include "lib/packet.h"
#include "lib/runtime.h"
#include "lib/service.h"

/* 0: the destination is no Service's, or decision->entry has the backend that was chosen. */
__noinline int balance(const struct packet *pkt, struct decision *decision, __u32 from)
{
	struct service_request request = {};
	const struct service *service;
	const struct backend *backend;
	struct flow_translation *to;
	__s64 number;
	__u8 dir;

	if (!pkt || !decision)
		return -DROP_INTERNAL;
	if (!runtime.has_services)
		return 0;
	dir = pkt->dir & 1;
	addr_copy(&request.client, &pkt->key.addr[dir]);
	addr_copy(&request.addr, &pkt->key.addr[!dir]);
	request.sport = pkt->key.port[dir];
	request.port = pkt->key.port[!dir];
	request.proto = pkt->key.proto;
	request.from = from;
	service = service_find(&request.addr, request.port, request.proto);
	if (!service || ((from & CLIENT_OUTSIDE) && !(service->flags & SERVICE_OUTSIDE)))
		return 0;
	decision->entry.service = service->id;
	number = service_choose(service, &request);
	if (number < 0)
		return number;
	backend = backend_find(number);
	if (!backend)
		return -DROP_INTERNAL;

	to = &decision->entry.to;
	addr_copy(&to->src, &request.client);
	addr_copy(&to->dst, &backend->addr);
	/* A pod that reaches itself would get the answer past us: it is given an address to answer that is not its own. */
	if (addr_equal(&backend->addr, &request.client))
		addr_copy(&to->src, &request.addr);
	to->sport = request.sport;
	to->dport = backend->port;
	to->backend = number;
	decision->entry.flags = FLOW_TRANSLATED;
	decision->entry.met = dir;
	return 0;
}

/* An address that only Services have: what no port of theirs takes is refused, since nobody else will. */
static __always_inline bool service_owns(const struct addr *address)
{
	return runtime.has_services && service_find(address, 0, 0);
}

#endif
