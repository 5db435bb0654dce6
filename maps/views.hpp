/// The node's maps by name. `open<Flows>(root.maps())` opens one.
#pragma once

#include <array>
#include <filesystem>

#include "maps/deny.h"
#include "maps/drop_reason.h"
#include "maps/endpoint.h"
#include "maps/flow.h"
#include "maps/fragment.h"
#include "maps/ipcache.h"
#include "maps/map.hpp"
#include "maps/metrics.h"
#include "maps/node.h"
#include "maps/observer.h"
#include "maps/policy.h"
#include "maps/runtime.h"
#include "maps/service.h"
#include "maps/socket.h"
#include "maps/uplink.h"

namespace sluice::maps {

struct Flows : Map<flow_key, flow_entry> {
  using Map::Map;
  static constexpr const char* kName = "flows";
};

struct Endpoints : Map<addr, endpoint> {
  using Map::Map;
  static constexpr const char* kName = "endpoints";
};

struct Fragments : Map<fragment_key, fragment_ports> {
  using Map::Map;
  static constexpr const char* kName = "fragments";
};

struct Ipcache : Map<ipcache_key, ipcache_entry> {
  using Map::Map;
  static constexpr const char* kName = "ipcache";
};

struct Nodes : Map<std::uint32_t, node> {
  using Map::Map;
  static constexpr const char* kName = "nodes";
};

struct Uplinks : Map<std::uint32_t, uplink> {
  using Map::Map;
  static constexpr const char* kName = "uplinks";
};

struct Denied : Map<denied_key, std::uint32_t> {
  using Map::Map;
  static constexpr const char* kName = "denied";
};

struct Policies : Map<std::uint32_t, policy> {
  using Map::Map;
  static constexpr const char* kName = "policies";
};

struct PolicyPorts : Map<policy_port_key, policy_port> {
  using Map::Map;
  static constexpr const char* kName = "policy_ports";
};

struct Peers : Map<peer_key, peer_verdict> {
  using Map::Map;
  static constexpr const char* kName = "peers";
};

struct Services : Map<service_key, service> {
  using Map::Map;
  static constexpr const char* kName = "services";
};

struct BackendSlots : Map<std::uint32_t, std::uint32_t> {
  using Map::Map;
  static constexpr const char* kName = "backend_slots";
};

struct Backends : Map<std::uint32_t, backend> {
  using Map::Map;
  static constexpr const char* kName = "backends";
};

struct SourceRanges : Map<source_range_key, std::uint32_t> {
  using Map::Map;
  static constexpr const char* kName = "source_ranges";
};

struct Affinity : Map<affinity_key, affinity_entry> {
  using Map::Map;
  static constexpr const char* kName = "affinity";
};

struct Sockets : Map<socket_key, socket_peer> {
  using Map::Map;
  static constexpr const char* kName = "sockets";
};

struct Metrics : PerCpuArray<metric> {
  using PerCpuArray::PerCpuArray;
  static constexpr const char* kName = "metrics";
};

struct Counters : PerCpuArray<std::uint64_t> {
  using PerCpuArray::PerCpuArray;
  static constexpr const char* kName = "counters";
};

/// Owners of slots write them through Mapped<FilterSlots>: the programs count in them.
struct ObserverFilters : Map<std::uint32_t, observer_filter> {
  using Map::Map;
  static constexpr const char* kName = "observer_filters";
};

using FilterSlots = std::array<observer_filter, OBSERVER_SLOTS>;

/// Array of ring buffers: a value is written as a ring buffer's descriptor and read as its id.
struct Observers : Map<std::uint32_t, std::uint32_t> {
  using Map::Map;
  static constexpr const char* kName = "observers";
};

/// One element, read and written by Mapped<runtime>.
struct Runtime : Map<std::uint32_t, runtime> {
  using Map::Map;
  static constexpr const char* kName = "runtime";
};

/// What flows were decided by has changed: each is decided anew before its next packet moves.
inline void advance_epoch(runtime& words, std::uint32_t by = GENERATIONS) {
  if (__atomic_add_fetch(&words.epoch, by, __ATOMIC_SEQ_CST) == 0)  // 0 is the epoch of no decision
    __atomic_add_fetch(&words.epoch, GENERATIONS, __ATOMIC_SEQ_CST);
}

/// The same, and decisions go by the other generation of policy from now on.
inline void switch_generation(runtime& words) { advance_epoch(words, 1); }

/// The generation of policy that is in force.
inline std::uint32_t generation(const runtime& words) {
  return GENERATION(__atomic_load_n(&words.epoch, __ATOMIC_SEQ_CST));
}

/// The map `View::kName` that is pinned in `folder` (loader::Root::maps()). ENOENT: there is none. EPROTO: it has
/// another layout.
template <typename View>
Result<View> open(const std::filesystem::path& folder) {
  using Value = typename View::value_type;
  return View(TRY(raw::open_pin(folder / View::kName, sizeof(typename View::key_type), sizeof(Value))));
}

/// The generation of policy that is in force under this folder of maps.
inline Result<std::uint32_t> generation_in(const std::filesystem::path& folder) {
  return generation(*TRY(Mapped<runtime>::open(TRY(open<Runtime>(folder)).fd())));
}

}  // namespace sluice::maps
