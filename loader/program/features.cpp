#include "loader/program/features.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "loader/program/hook.hpp"
#include "loader/program/object.hpp"
#include "loader/program/socket_hooks.hpp"

namespace sluice::loader::program {
namespace {

Result<Fd> smallest_program() {
  const std::array<bpf_insn, 2> code = {
      bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
      bpf_insn{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  Fd program(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "sluice_probe", "GPL", code.data(), code.size(), nullptr));
  if (program.get() < 0) return fail(errno, "load the smallest program there is (is this root?)");
  return program;
}

bool has_helper(bpf_func_id helper) { return libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, helper, nullptr) == 1; }
bool has_map(bpf_map_type type) { return libbpf_probe_bpf_map_type(type, nullptr) == 1; }

bool has_batch_lookup() {
  const Fd map(bpf_map_create(BPF_MAP_TYPE_HASH, "sluice_probe", 4, 4, 1, nullptr));
  std::uint32_t token = 0, key = 0, value = 0, count = 1;
  return map.get() >= 0 &&
         (bpf_map_lookup_batch(map.get(), nullptr, &token, &key, &value, &count, nullptr) == 0 || errno == ENOENT);
}

bool has_socket_hooks() {
  const std::array<bpf_insn, 2> code = {
      bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 1},
      bpf_insn{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_CGROUP_INET4_GETPEERNAME);
  const Fd program(
      bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "sluice_probe", "GPL", code.data(), code.size(), &options));
  return program.get() >= 0;
}

bool has_run_stats() {
  const Fd stats(bpf_enable_stats(BPF_STATS_RUN_TIME));
  return stats.get() >= 0;
}

}  // namespace

Result<std::vector<Feature>> probe_features() {
  quiet_libbpf();
  const Fd program = TRY(smallest_program());
  return std::vector<Feature>{
      {"LRU hash map", has_map(BPF_MAP_TYPE_LRU_HASH), true, "flows and fragments", "nothing works"},
      {"ring buffer", has_map(BPF_MAP_TYPE_RINGBUF), true, "events for observers", "nothing works"},
      {"array of maps", has_map(BPF_MAP_TYPE_ARRAY_OF_MAPS), true, "one ring buffer for each observer",
       "nothing works"},
      {"bpf_redirect_peer", has_helper(BPF_FUNC_redirect_peer), true, "delivery into a pod past the host's stack",
       "nothing works"},
      {"bpf_ktime_get_coarse_ns", has_helper(BPF_FUNC_ktime_get_coarse_ns), true, "ages of flows", "nothing works"},
      {"bpf_loop", has_helper(BPF_FUNC_loop), true, "loops that are verified once", "nothing works"},
      {"tcx", tcx::supported(program), false, "podAttach: tcx",
       "programs are attached by clsact, which is the default"},
      {"batch lookup of maps", has_batch_lookup(), false, "fast listings of flows",
       "listings take one call for each flow"},
      {"cgroup hooks of sockets", has_socket_hooks(), false, "socketBalancing: a backend for each connect to a Service",
       "Services are balanced packet by packet, and the node's own processes reach none"},
      {"cgroup2", ControlGroup::find(Root(), {}).failed_with(ENOENT) == false, false,
       "where the hooks of sockets are (cgroup in sluice.yaml)", "as without these hooks"},
      {"run statistics", has_run_stats(), false, "run counts and times in `bpfctl prog list`", "they are not shown"},
      {"BTF of the kernel", access("/sys/kernel/btf/vmlinux", R_OK) == 0, false, "names of fields for bpftool",
       "nothing is lost for Sluice"},
  };
}

std::string kernel_release() {
  utsname name{};
  uname(&name);
  return name.release;
}

}  // namespace sluice::loader::program
