/* Services: which backend a new connection to a Service's address goes to (maps/service.h). Reads `services`,
 * `backend_slots`, `backends` and `source_ranges`, which the agent writes; reads and writes `affinity`. */
#ifndef SLUICE_BPF_SERVICE_H
#define SLUICE_BPF_SERVICE_H

#include "lib/common.h"
#include "lib/config.h"
#include "lib/runtime.h"
#include "maps/drop_reason.h"
#include "maps/service.h"

/* max_entries are the defaults; the loader sets the configured ones. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1048576);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u32);
} backend_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct source_range_key);
	__type(value, __u32);
} source_ranges SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct affinity_key);
	__type(value, struct affinity_entry);
} affinity SEC(".maps");

#define CLIENT_OUTSIDE 1

/* Who asks for what. For a client that has no port yet (connect) sport is 0. */
struct service_request {
	struct addr client;
	struct addr addr;
	be16 sport;
	be16 port;
	__u8 proto;
	__u8 from; /* CLIENT_OUTSIDE, else of the cluster */
	__u8 pad[2];
};

static __always_inline const struct service *service_find(const struct addr *addr, be16 port, __u8 proto)
{
	struct service_key key = { .port = port, .proto = proto };

	addr_copy(&key.addr, addr);
	return bpf_map_lookup_elem(&services, &key);
}

static __always_inline bool service_admits(const struct service *service, const struct service_request *request)
{
	struct source_range_key key = { .prefix_len = 32 + 128, .service = service->id };

	for (int i = 0; i < 4; i++)
		key.word[i] = request->client.word[i];
	return bpf_map_lookup_elem(&source_ranges, &key);
}

static __always_inline __u32 service_hash(const struct service_request *request)
{
	const __u64 *client = (const __u64 *)&request->client, *addr = (const __u64 *)&request->addr;
	__u64 hash = client[0] ^ (client[1] * 0x9e3779b97f4a7c15ULL) ^ addr[0];

	hash = (hash ^ (hash >> 29) ^ addr[1]) * 0xbf58476d1ce4e5b9ULL;
	hash ^= (__u64)request->sport << 16 | request->port | (__u64)request->proto << 32;
	hash = (hash ^ (hash >> 32)) * 0x94d049bb133111ebULL;
	return hash >> 32;
}

static __always_inline const struct backend *backend_find(__u32 number)
{
	return bpf_map_lookup_elem(&backends, &number);
}

/* The backend that the client had last, where it still serves and this frontend may choose it. -1: none. */
static __always_inline __s64 affinity_recall(const struct service *service, const struct service_request *request,
					     bool local_only)
{
	struct affinity_key key = { .service = service->id };
	const struct backend *backend;
	struct affinity_entry *entry;
	__u64 now = bpf_ktime_get_ns();
	__u32 number;

	addr_copy(&key.client, &request->client);
	entry = bpf_map_lookup_elem(&affinity, &key);
	if (!entry || now - entry->last_used_ns > service->affinity_s * CLOCK_NS_PER_S)
		return -1;
	number = entry->endpoint + service->port_index;
	backend = backend_find(number);
	if (!backend || backend->service != service->id || backend->state != BACKEND_SERVING ||
	    (local_only && !(backend->flags & BACKEND_LOCAL)))
		return -1;
	if (!cfg_trace)
		entry->last_used_ns = now;
	return number;
}

static __always_inline void affinity_remember(const struct service *service, const struct service_request *request,
					      __u32 number)
{
	struct affinity_key key = { .service = service->id };
	struct affinity_entry entry = {
		.last_used_ns = bpf_ktime_get_ns(),
		.endpoint = number - service->port_index,
	};

	addr_copy(&key.client, &request->client);
	bpf_map_update_elem(&affinity, &key, &entry, BPF_ANY);
}

/* The number of the backend that a new connection goes to, or a drop reason as a negative number. */
static __always_inline __s64 service_choose(const struct service *service, const struct service_request *request)
{
	const bool outside = request->from & CLIENT_OUTSIDE;
	const struct backend_table *table = outside ? &service->outside : &service->inside;
	const __u32 drop_flag = outside ? SERVICE_DROP_OUTSIDE : SERVICE_DROP_INSIDE;
	__u32 slot, *number;
	__s64 recalled;

	if ((service->flags & SERVICE_SOURCE_RANGES) && !service_admits(service, request))
		return -DROP_SOURCE_RANGE;
	if (!table->count)
		return service->flags & drop_flag ? -DROP_NO_LOCAL_BACKEND : -DROP_NO_BACKEND;
	if (service->affinity_s) {
		recalled = affinity_recall(service, request, service->flags & drop_flag);
		if (recalled >= 0)
			return recalled;
	}
	slot = service->flags & SERVICE_MAGLEV ? service_hash(request) : bpf_get_prandom_u32();
	slot = table->first + slot % table->count;
	number = bpf_map_lookup_elem(&backend_slots, &slot);
	if (!number)
		return -DROP_INTERNAL;
	if (service->affinity_s && !cfg_trace)
		affinity_remember(service, request, *number);
	return *number;
}

/* The endpoint that a running connection was given still serves. */
static __always_inline bool backend_serves(__u32 number, __u32 service, const struct addr *addr, be16 port)
{
	const struct backend *backend = backend_find(number);

	return backend && backend->state != BACKEND_GONE && backend->service == service && backend->port == port &&
	       addr_equal(&backend->addr, addr);
}

#endif
