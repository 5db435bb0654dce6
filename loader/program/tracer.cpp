#include "loader/program/tracer.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "loader/program/object.hpp"
#include "loader/program/program_maps.hpp"
#include "maps/names.hpp"
#include "maps/views.hpp"

// The skeleton names the layouts as C does.
using sluice::maps::addr;
using sluice::maps::runtime;
#include "pod.skel.h"

namespace sluice::loader::program {
namespace {

using Handle = std::unique_ptr<pod_bpf, void (*)(pod_bpf*)>;

constexpr std::uint32_t kFarEpoch = 1U << 31;
constexpr std::size_t kRoomToGrow = 256;  // a tunnel, an ICMP error

/// What decisions are made by: the instance shares it with the programs in force. Each write to one of these in bpf/
/// is under cfg_trace, or on the fast path, which the instance does not take.
constexpr auto kShared = std::to_array<std::string_view>(
    {maps::Flows::kName, maps::Endpoints::kName, maps::Ipcache::kName, maps::Nodes::kName, maps::Uplinks::kName,
     maps::Policies::kName, maps::PolicyPorts::kName, maps::Peers::kName, maps::Services::kName,
     maps::BackendSlots::kName, maps::Backends::kName, maps::SourceRanges::kName, maps::Affinity::kName,
     maps::Denied::kName});

/// What it has for itself.
constexpr auto kOwn = std::to_array<std::string_view>(
    {maps::Fragments::kName, maps::Metrics::kName, maps::Counters::kName, maps::ObserverFilters::kName,
     maps::Observers::kName, "decision_scratch", "event_scratch", "icmp_scratch", ".data.runtime", "pod_bpf.rodata"});

Result<bpf_prog_info> program_info(const Fd& program) {
  bpf_prog_info info{};
  std::uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0) return fail(errno, "read what a program is");
  return info;
}

Result<void> take_constants(pod_bpf& pod, const std::vector<ProgramMap>& maps) {
  const std::uint32_t zero = 0;
  const ProgramMap* constants = find_map(maps, bpf_map__name(pod.maps.rodata));
  if (constants == nullptr || constants->value_size != bpf_map__value_size(pod.maps.rodata)) return other_build();
  if (bpf_map_lookup_elem(constants->fd.get(), &zero, pod.rodata) != 0)
    return fail(errno, "read the constants of the loaded program");
  pod.rodata->cfg_trace = true;
  return {};
}

/// A shared map that the program does not use is not made.
Result<void> share_maps(const pod_bpf& pod, const std::vector<ProgramMap>& maps) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, pod.obj) {
    const std::string_view name = bpf_map__name(map);
    if (std::ranges::find(kOwn, name) != kOwn.end()) continue;
    if (std::ranges::find(kShared, name) == kShared.end())
      return refuse(EINVAL, "it is not said what a trace does with map " + std::string(name));
    const ProgramMap* shared = find_map(maps, name);
    const int err = shared != nullptr ? bpf_map__reuse_fd(map, shared->fd.get()) : bpf_map__set_autocreate(map, false);
    if (err != 0) return fail(-err, "share map " + std::string(name));
  }
  return {};
}

template <typename Value>
Result<std::vector<Value>> all_cpus(const bpf_map* map, std::uint32_t index) {
  std::vector<Value> values(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  if (bpf_map_lookup_elem(bpf_map__fd(map), &index, values.data()) != 0)
    return fail(errno, std::string("read ") + bpf_map__name(map));
  return values;
}

}  // namespace

struct Tracer::Instance {
  maps::hook hook;
  Handle pod;
  int program;
  maps::Mapped<maps::runtime> in_force;
  std::array<std::uint64_t, maps::DROP_REASON_MAX> counted{};  ///< packets until now, by reason
  std::uint64_t answered = 0;

  /// What decisions see of the words that steer the programs: an epoch of the same generation of policy.
  void take_runtime() const {
    maps::runtime& own = pod->data_runtime->runtime;
    const std::uint32_t epoch = in_force->epoch ^ kFarEpoch;
    own = {.epoch = epoch != 0 ? epoch : GENERATIONS,
           .observers = 0,
           .packet_observers = 0,
           .has_services = in_force->has_services};
  }

  [[nodiscard]] Result<void> forget_decision() const {
    const std::uint32_t zero = 0;
    const std::vector<maps::decision> nothing(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    if (bpf_map_update_elem(bpf_map__fd(pod->maps.decision_scratch), &zero, nothing.data(), BPF_ANY) != 0)
      return fail(errno, "clear decision_scratch");
    return {};
  }

  /// The one that was made, on whichever CPU.
  [[nodiscard]] Result<maps::decision> decision() const {
    for (const auto& one : TRY(all_cpus<maps::decision>(pod->maps.decision_scratch, 0)))
      if (one.entry.half[0].epoch != 0) return one;
    return maps::decision{};
  }

  /// Every packet is counted under one reason.
  Result<maps::drop_reason> reason() {
    maps::drop_reason found = maps::DROP_NONE;
    for (std::uint32_t reason = 0; reason < maps::DROP_REASON_MAX; reason++) {
      std::uint64_t packets = 0;
      for (const auto& one : TRY(all_cpus<maps::metric>(pod->maps.metrics, maps::metric_index(reason, hook))))
        packets += one.packets;
      if (std::exchange(counted[reason], packets) != packets) found = static_cast<maps::drop_reason>(reason);
    }
    return found;
  }

  Result<bool> was_answered() {
    std::uint64_t total = 0;
    for (const auto one : TRY(all_cpus<std::uint64_t>(pod->maps.counters, maps::COUNTER_NEIGHBOUR_ANSWERED)))
      total += one;
    return std::exchange(answered, total) != total;
  }
};

Tracer::Tracer(std::unique_ptr<Instance> instance) : instance_(std::move(instance)) {}
Tracer::Tracer(Tracer&&) noexcept = default;
Tracer& Tracer::operator=(Tracer&&) noexcept = default;
Tracer::~Tracer() = default;

Result<Tracer> Tracer::load(maps::hook hook, const Fd& program) {
  quiet_libbpf();
  const auto maps = TRY(maps_of(program));
  Handle pod(pod_bpf::open(), pod_bpf::destroy);
  if (!pod) return fail(errno, "open pod.bpf.o");
  const std::string name = maps::hook_name(hook);
  bpf_program* traced = nullptr;
  bpf_program* other = nullptr;
  bpf_object__for_each_program(other, pod->obj) {
    const bool is_traced = bpf_program__name(other) == name;
    bpf_program__set_autoload(other, is_traced);
    if (is_traced) traced = other;
  }
  if (traced == nullptr) return refuse(ENOENT, "pod.bpf.o has no program " + name);
  TRY(take_constants(*pod, maps));
  TRY(share_maps(*pod, maps));
  const ProgramMap* words = find_map(maps, bpf_map__name(pod->maps.data_runtime));
  if (words == nullptr) return other_build();
  auto in_force = TRY(maps::Mapped<maps::runtime>::open(words->fd));
  if (const int err = pod_bpf::load(pod.get()); err != 0)
    return fail(-err, "load " + name + " for a trace: " + libbpf_words());

  const int fd = bpf_program__fd(traced);
  bpf_prog_info own{};
  std::uint32_t size = sizeof(own);
  if (bpf_obj_get_info_by_fd(fd, &own, &size) != 0) return fail(errno, "read what a program is");
  const bpf_prog_info loaded = TRY(program_info(program));
  if (std::memcmp(own.tag, loaded.tag, sizeof(own.tag)) != 0) return other_build();
  return Tracer(std::make_unique<Instance>(Instance{hook, std::move(pod), fd, std::move(in_force)}));
}

Result<Traced> Tracer::run(const std::vector<std::uint8_t>& frame, int ifindex) {
  Instance& instance = *instance_;
  instance.take_runtime();
  TRY(instance.forget_decision());
  Traced traced;
  traced.frame.resize(frame.size() + kRoomToGrow);
  __sk_buff context{};
  context.ifindex = static_cast<std::uint32_t>(ifindex);
  context.ingress_ifindex = instance.hook == maps::HOOK_TO_POD ? 0 : context.ifindex;
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = frame.data();
  options.data_size_in = static_cast<std::uint32_t>(frame.size());
  options.data_out = traced.frame.data();
  options.data_size_out = static_cast<std::uint32_t>(traced.frame.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof(context);
  if (const int err = bpf_prog_test_run_opts(instance.program, &options); err != 0)
    return fail(-err, "run " + maps::hook_name(instance.hook) + " on a packet of " + std::to_string(frame.size()) +
                          " bytes at interface " + std::to_string(ifindex));
  traced.frame.resize(options.data_size_out);
  traced.action = static_cast<std::int32_t>(options.retval);
  traced.reason = TRY(instance.reason());
  traced.answered = TRY(instance.was_answered());
  traced.decision = TRY(instance.decision());
  return traced;
}

}  // namespace sluice::loader::program
