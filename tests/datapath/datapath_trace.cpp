// Traces of a test's node, and all that they must leave as it is.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/pkt_cls.h>

#include <stdexcept>

#include "maps/names.hpp"
#include "maps/runtime.h"
#include "maps/types.h"
#include "tests/datapath/datapath.hpp"

// The skeleton names the layouts as C does.
using sluice::maps::addr;
using sluice::maps::runtime;
#include "pod.skel.h"

namespace sluice::test {
namespace {

template <typename T>
T sure(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return *std::move(result);
}

Bytes contents_of(const bpf_map* map) {
  const std::uint32_t type = bpf_map__type(map);
  const bool per_cpu = type == BPF_MAP_TYPE_PERCPU_ARRAY;
  const std::size_t cpus = per_cpu ? static_cast<std::size_t>(libbpf_num_possible_cpus()) : 1;
  const int fd = bpf_map__fd(map);
  Bytes all, key(bpf_map__key_size(map)), value(((bpf_map__value_size(map) + 7) & ~7U) * cpus);
  for (void* last = nullptr; bpf_map_get_next_key(fd, last, key.data()) == 0; last = key.data()) {
    if (bpf_map_lookup_elem(fd, key.data(), value.data()) != 0) continue;  // an empty observer slot
    all.insert(all.end(), key.begin(), key.end());
    all.insert(all.end(), value.begin(), value.end());
  }
  return all;
}

}  // namespace

loader::program::Traced Datapath::trace(maps::hook hook, const std::string& pod, const Packet& packet) {
  auto tracer = tracers_.find(hook);
  if (tracer == tracers_.end()) {
    const Fd loaded(fcntl(program(maps::hook_name(hook).c_str()), F_DUPFD_CLOEXEC, 0));
    tracer = tracers_.emplace(hook, sure(loader::program::Tracer::load(hook, loaded))).first;
  }
  return sure(tracer->second.run(frame_at(hook, pod, packet), static_cast<int>(ifindex(pod))));
}

Verdict Datapath::traced(maps::hook hook, const std::string& pod, const Packet& packet) {
  const auto traced = trace(hook, pod, packet);
  if (traced.action == TC_ACT_SHOT) return dropped(traced.reason);
  if (traced.action == TC_ACT_UNSPEC && traced.reason == maps::DROP_NONE) return to_stack();
  if (traced.action != TC_ACT_REDIRECT) return {};
  if (traced.answered) return answered();
  if (traced.reason != maps::DROP_NONE) return told_sender(traced.reason);
  const maps::flow_half& half = traced.decision.entry.half[traced.decision.dir];
  if (half.delivery == maps::FLOW_TO_TUNNEL) return tunnelled_to(half.node);
  const std::string to = name_of(half.egress_ifindex);
  if (half.delivery == maps::FLOW_TO_UPLINK) return sent_out_of(to);
  return half.delivery == maps::FLOW_TO_PEER ? delivered_to(to) : through_qdisc_of(to);
}

std::map<std::string, Bytes> Datapath::contents() const {
  std::map<std::string, Bytes> all;
  const bpf_map* map = nullptr;
  bpf_object__for_each_map(map, skeleton_->obj) {
    const std::string name = bpf_map__name(map);
    if (!name.ends_with("_scratch")) all[name] = contents_of(map);
  }
  return all;
}

}  // namespace sluice::test
