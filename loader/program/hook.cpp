#include "loader/program/hook.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <limits>

#include "loader/program/pin.hpp"

namespace sluice::loader::program {
namespace clsact {
namespace {

// Which filter is ours: nobody else's handle, and the first to run.
constexpr std::uint32_t kHandle = 0x534c55;        // "SLU"
constexpr std::uint32_t kUplinkHandle = 0x534c56;  // and one more
constexpr std::uint32_t kPriority = 1;

bpf_tc_hook make_hook(int ifindex, Hook hook) {
  return {.sz = sizeof(bpf_tc_hook),
          .ifindex = ifindex,
          .attach_point = hook == Hook::kEgress ? BPF_TC_EGRESS : BPF_TC_INGRESS,
          .parent = 0};
}

bpf_tc_opts make_options(Hook hook) {
  bpf_tc_opts options{};
  options.sz = sizeof(options);
  options.handle = hook == Hook::kUplink ? kUplinkHandle : kHandle;
  options.priority = kPriority;
  return options;
}

// No filter, no clsact qdisc, or no interface.
bool nothing_there(int err) { return err == -ENOENT || err == -EINVAL || err == -ENODEV; }

Result<void> put(int ifindex, Hook hook, const Fd& program) {
  bpf_tc_hook where = make_hook(ifindex, hook);
  bpf_tc_opts options = make_options(hook);
  options.prog_fd = program.get();
  options.flags = BPF_TC_F_REPLACE;
  if (const int err = bpf_tc_attach(&where, &options); err != 0)
    return fail(-err, "attach a program by clsact to interface " + std::to_string(ifindex));
  return {};
}

}  // namespace

Result<void> attach(int ifindex, Hook hook, const Fd& program) {
  bpf_tc_hook where = make_hook(ifindex, hook);
  if (const int err = bpf_tc_hook_create(&where); err != 0 && err != -EEXIST)
    return fail(-err, "put a clsact qdisc on interface " + std::to_string(ifindex));
  return put(ifindex, hook, program);
}

Result<bool> replace(int ifindex, Hook hook, const Fd& program) {
  if (!TRY(attached(ifindex, hook))) return false;
  auto done = put(ifindex, hook, program);
  if (done) return true;
  if (nothing_there(-done.error().code)) return false;  // deleted since
  return done.error();
}

Result<void> detach(int ifindex, Hook hook) {
  bpf_tc_hook where = make_hook(ifindex, hook);
  bpf_tc_opts options = make_options(hook);
  if (const int err = bpf_tc_detach(&where, &options); err != 0 && !nothing_there(err))
    return fail(-err, "detach a program from interface " + std::to_string(ifindex));
  return {};
}

Result<std::optional<std::uint32_t>> attached(int ifindex, Hook hook) {
  bpf_tc_hook where = make_hook(ifindex, hook);
  bpf_tc_opts options = make_options(hook);
  const int err = bpf_tc_query(&where, &options);
  if (nothing_there(err)) return std::optional<std::uint32_t>();
  if (err != 0) return fail(-err, "ask for the programs of interface " + std::to_string(ifindex));
  return std::optional<std::uint32_t>(options.prog_id);
}

}  // namespace clsact

namespace tcx {
namespace {

// enum bpf_attach_type; newer than libbpf 1.1.
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);
constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);

struct LinkState {
  std::uint32_t ifindex;  ///< 0: the interface is gone
  std::uint32_t program_id;
};

Result<LinkState> link_state(const Fd& link) {
  bpf_link_info info{};
  std::uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(link.get(), &info, &size) != 0) return fail(errno, "read what a link is");
  // libbpf 1.1 does not know info.tcx; its first member lies where that of info.xdp does.
  return LinkState{.ifindex = info.xdp.ifindex, .program_id = info.prog_id};
}

Result<void> create(int ifindex, Hook hook, const Fd& program, const std::filesystem::path& pin) {
  const Fd link(bpf_link_create(program.get(), ifindex, hook == Hook::kIngress ? kTcxIngress : kTcxEgress, nullptr));
  if (link.get() < 0) {
    const int code = errno == EINVAL ? EOPNOTSUPP : errno;
    return fail(code, "attach a program by tcx to interface " + std::to_string(ifindex));
  }
  return replace_pin(link, pin);
}

}  // namespace

Result<void> attach(int ifindex, Hook hook, const Fd& program, const std::filesystem::path& pin) {
  auto link = open_pin(pin);
  if (link.failed_with(ENOENT)) return create(ifindex, hook, program, pin);
  if (!link) return link.error();
  if (TRY(link_state(*link)).ifindex != static_cast<std::uint32_t>(ifindex)) {
    TRY(remove_pin(pin));
    return create(ifindex, hook, program, pin);
  }
  if (bpf_link_update(link->get(), program.get(), nullptr) != 0)
    return fail(errno, "give link " + pin.string() + " another program");
  return {};
}

Result<bool> replace(const std::filesystem::path& pin, const Fd& program) {
  const Fd link = TRY(open_pin(pin));
  if (TRY(link_state(link)).ifindex == 0) return false;
  if (bpf_link_update(link.get(), program.get(), nullptr) == 0) return true;
  if (errno == ENOLINK) return false;
  return fail(errno, "give link " + pin.string() + " another program");
}

Result<void> detach(const std::filesystem::path& pin) {
  auto link = open_pin(pin);
  if (link.failed_with(ENOENT)) return remove_pin(pin);
  if (!link) return link.error();
  bpf_link_detach(link->get());  // fails where the interface is gone, and then nothing is attached
  return remove_pin(pin);
}

Result<std::optional<std::uint32_t>> attached(int ifindex, const std::filesystem::path& pin) {
  auto link = open_pin(pin);
  if (link.failed_with(ENOENT)) return std::optional<std::uint32_t>();
  if (!link) return link.error();
  const LinkState state = TRY(link_state(*link));
  if (state.ifindex != static_cast<std::uint32_t>(ifindex)) return std::optional<std::uint32_t>();
  return std::optional<std::uint32_t>(state.program_id);
}

bool supported(const Fd& program) {
  // With tcx the kernel looks for the interface, without it does not know the attach type (EINVAL).
  const Fd link(bpf_link_create(program.get(), std::numeric_limits<int>::max(), kTcxIngress, nullptr));
  return link.get() < 0 && errno == ENODEV;
}

}  // namespace tcx
}  // namespace sluice::loader::program
