#include "loader/program/status.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "loader/net/netlink.hpp"
#include "loader/program/hook.hpp"
#include "loader/program/object.hpp"
#include "loader/program/overlay.hpp"
#include "loader/program/pin.hpp"
#include "loader/program/socket_hooks.hpp"
#include "loader/program/xdp.hpp"

namespace sluice::loader::program {
namespace {

Result<ProgramStatus> describe_program(const Fd& program) {
  bpf_prog_info info{};
  std::uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0) return fail(errno, "read what a program is");
  std::string tag;
  for (const unsigned char byte : info.tag) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", byte);
    tag += digits;
  }
  return ProgramStatus{.name = info.name,
                       .id = info.id,
                       .tag = tag,
                       .loaded_ns = info.load_time,
                       .instructions = info.xlated_prog_len / static_cast<std::uint32_t>(sizeof(bpf_insn)),
                       .jited_bytes = info.jited_prog_len,
                       .run_count = info.run_cnt,
                       .run_ns = info.run_time_ns,
                       .attachments = {}};
}

/// What the kernel accounts to the map, as /proc/self/fdinfo tells it.
Result<std::uint64_t> map_memory(const Fd& map) {
  std::ifstream file("/proc/self/fdinfo/" + std::to_string(map.get()));
  for (std::string key; file >> key;) {
    std::uint64_t bytes = 0;
    if (key == "memlock:" && file >> bytes) return bytes;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return refuse(ENODATA, "the kernel does not tell how much memory a map takes");
}

const char* hook_name(Hook hook) { return hook == Hook::kEgress ? "egress" : "ingress"; }

Result<std::vector<Attachment>> attachments_of(const Root& root, const net::Link& link) {
  std::vector<Attachment> found;
  if (const auto id = TRY(clsact::attached(link.ifindex, Hook::kUplink)))
    found.push_back({link.ifindex, link.name, hook_name(Hook::kUplink), "clsact", *id});
  if (const auto xdp = TRY(xdp_attachment(root, link.ifindex, link.name)))
    found.push_back({link.ifindex, link.name, "xdp", xdp->native ? "native" : "generic", xdp->program_id});
  if (link.kind != "veth" && link.name != kOverlayDevice) return found;
  for (const Hook hook : {Hook::kIngress, Hook::kEgress}) {
    const auto pin = link_pin(root, link.name, hook == Hook::kIngress ? "in" : "eg");
    if (const auto id = TRY(tcx::attached(link.ifindex, pin)))
      found.push_back({link.ifindex, link.name, hook_name(hook), "tcx", *id});
    if (const auto id = TRY(clsact::attached(link.ifindex, hook)))
      found.push_back({link.ifindex, link.name, hook_name(hook), "clsact", *id});
  }
  return found;
}

/// Those that the configuration may do without, where they are loaded.
Result<std::vector<ProgramStatus>> optional_programs(const Root& root) {
  std::vector<const char*> names = {kXdpUplink};
  names.insert(names.end(), kSocketPrograms.begin(), kSocketPrograms.end());
  std::vector<ProgramStatus> programs;
  for (const char* name : names) {
    const auto program = open_pin(program_pin(root, name));
    if (program.failed_with(ENOENT)) continue;
    if (!program) return program.error();
    programs.push_back(TRY(describe_program(*program)));
  }
  return programs;
}

Result<std::vector<Attachment>> socket_attachments(const Root& root) {
  const auto config = NodeConfig::read(root);
  const auto group = ControlGroup::find(root, config ? *config : NodeConfig{});
  std::vector<Attachment> found;
  for (const char* name : kSocketPrograms) {
    const auto there = TRY(socket_attachment(root, name));
    if (!there) continue;
    found.push_back({.ifindex = 0,
                     .place = group && group->id() == there->group_id ? group->path().string() : "?",
                     .hook = socket_hook_name(name),
                     .mode = "cgroup",
                     .program_id = there->program_id});
  }
  return found;
}

/// The program with this id, which may be of an unfinished upgrade; nullptr: it is gone since.
ProgramStatus* by_id(std::vector<ProgramStatus>& programs, std::uint32_t id) {
  const auto known = std::ranges::find(programs, id, &ProgramStatus::id);
  if (known != programs.end()) return &*known;
  const Fd program(bpf_prog_get_fd_by_id(id));
  if (program.get() < 0) return nullptr;
  auto described = describe_program(program);
  if (!described) return nullptr;
  return &programs.emplace_back(std::move(*described));
}

}  // namespace

Result<std::vector<ProgramStatus>> program_status(const Root& root) {
  quiet_libbpf();
  std::vector<ProgramStatus> programs;
  for (const char* name : {kFromPod, kToPod, kFromOverlay, kToOverlay, kFromUplink})
    programs.push_back(TRY(describe_program(TRY(open_pin(program_pin(root, name))))));
  std::ranges::move(TRY(optional_programs(root)), std::back_inserter(programs));

  std::vector<Attachment> attachments = TRY(socket_attachments(root));
  net::Netlink netlink = TRY(net::Netlink::open());
  for (const net::Link& link : TRY(netlink.links())) {
    std::ranges::move(TRY(attachments_of(root, link)), std::back_inserter(attachments));
  }
  for (Attachment& attachment : attachments)
    if (ProgramStatus* program = by_id(programs, attachment.program_id))
      program->attachments.push_back(std::move(attachment));
  return programs;
}

Result<std::vector<MapStatus>> map_status(const Root& root) {
  std::error_code error;
  std::vector<MapStatus> maps;
  for (const auto& pin : std::filesystem::directory_iterator(root.maps(), error)) {
    const Fd map = TRY(open_pin(pin.path()));
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(map.get(), &info, &size) != 0) return fail(errno, "read what a map is");
    const char* type = libbpf_bpf_map_type_str(static_cast<bpf_map_type>(info.type));
    maps.push_back({.name = pin.path().filename(),
                    .id = info.id,
                    .type = type != nullptr ? type : std::to_string(info.type),
                    .key_bytes = info.key_size,
                    .value_bytes = info.value_size,
                    .capacity = info.max_entries,
                    .memory_bytes = TRY(map_memory(map))});
  }
  if (error) return fail(error.value(), "read " + root.maps().string());
  std::ranges::sort(maps, {}, &MapStatus::name);
  return maps;
}

Result<Fd> enable_run_stats() {
  Fd stats(bpf_enable_stats(BPF_STATS_RUN_TIME));
  if (stats.get() < 0) return fail(errno, "switch on run statistics of BPF programs");
  return stats;
}

}  // namespace sluice::loader::program
