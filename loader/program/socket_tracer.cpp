#include "loader/program/socket_tracer.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_cls.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "loader/program/object.hpp"
#include "loader/program/program_maps.hpp"
#include "maps/socket_trace.h"
#include "maps/views.hpp"

// The skeletons name the layouts as C does.
using sluice::maps::addr;
using sluice::maps::runtime;
#include "sock.skel.h"
#include "socket_trace.skel.h"

namespace sluice::loader::program {
namespace {

using Handle = std::unique_ptr<socket_trace_bpf, void (*)(socket_trace_bpf*)>;
using Constants = std::remove_pointer_t<decltype(sock_bpf::rodata)>;

/// What a backend is chosen by. All else the program has for itself, or does without.
constexpr auto kShared =
    std::to_array<std::string_view>({maps::Services::kName, maps::BackendSlots::kName, maps::Backends::kName,
                                     maps::SourceRanges::kName, maps::Affinity::kName});

template <typename Value>
Result<Value> read_section(const std::vector<ProgramMap>& maps, const char* name) {
  const ProgramMap* section = find_map(maps, name);
  if (section == nullptr || section->value_size != sizeof(Value)) return other_build();
  Value value;
  const std::uint32_t zero = 0;
  if (bpf_map_lookup_elem(section->fd.get(), &zero, &value) != 0)
    return fail(errno, std::string("read ") + name + " of the loaded programs");
  return value;
}

Result<Handle> load(const std::vector<ProgramMap>& maps) {
  quiet_libbpf();
  Handle asked(socket_trace_bpf::open(), socket_trace_bpf::destroy);
  if (!asked) return fail(errno, "open socket_trace.bpf.o");
  const auto constants = TRY(read_section<Constants>(maps, "sock_bpf.rodata"));
  asked->rodata->cfg_node_v4 = constants.cfg_node_v4;
  asked->rodata->cfg_node_v6 = constants.cfg_node_v6;
  asked->rodata->cfg_trace = true;
  asked->data_runtime->runtime = TRY(read_section<maps::runtime>(maps, ".data.runtime"));
  for (const std::string_view name : kShared) {
    const ProgramMap* shared = find_map(maps, name);
    bpf_map* map = bpf_object__find_map_by_name(asked->obj, std::string(name).c_str());
    if (shared == nullptr || map == nullptr) return other_build();
    if (const int err = bpf_map__reuse_fd(map, shared->fd.get()); err != 0)
      return fail(-err, "share map " + std::string(name));
  }
  if (const int err = socket_trace_bpf::load(asked.get()); err != 0)
    return fail(-err, "load socket_trace: " + libbpf_words());
  return asked;
}

}  // namespace

Result<std::optional<SocketAnswer>> ask_sockets(const Fd& hook, const SocketAddress& to, std::uint8_t proto) {
  const Handle asked = TRY(load(TRY(maps_of(hook))));
  maps::socket_question question{};
  question.addr = to.address.wire();
  question.port = maps::be16::from_host(to.port);
  question.proto = proto;
  std::array<std::byte, SOCKET_QUESTION_AT + sizeof(question)> packet{};
  std::memcpy(&packet[SOCKET_QUESTION_AT], &question, sizeof(question));
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = options.data_out = packet.data();
  options.data_size_in = options.data_size_out = packet.size();
  if (const int err = bpf_prog_test_run_opts(bpf_program__fd(asked->progs.socket_trace), &options); err != 0)
    return fail(-err, "run socket_trace");
  if (options.retval == TC_ACT_SHOT) return refuse(EPROTO, "socket_trace does not take its question");
  std::memcpy(&question, &packet[SOCKET_QUESTION_AT], sizeof(question));
  if (question.service == 0 && question.refused == 0) return std::optional<SocketAnswer>();
  return std::optional(SocketAnswer{question.service,
                                    static_cast<maps::drop_reason>(question.refused),
                                    {Address(question.peer.addr), question.peer.port.to_host()}});
}

}  // namespace sluice::loader::program
