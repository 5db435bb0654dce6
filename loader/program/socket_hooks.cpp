#include "loader/program/socket_hooks.hpp"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>

#include "loader/program/lock.hpp"
#include "loader/program/pin.hpp"

namespace sluice::loader::program {
namespace {

namespace fs = std::filesystem;

struct Hook {
  const char* name;  ///< as the kernel's documentation has it
  bpf_attach_type type;
};
/// In the order of kSocketPrograms.
constexpr std::array<Hook, kSocketPrograms.size()> kHooks = {{{"connect4", BPF_CGROUP_INET4_CONNECT},
                                                              {"connect6", BPF_CGROUP_INET6_CONNECT},
                                                              {"sendmsg4", BPF_CGROUP_UDP4_SENDMSG},
                                                              {"sendmsg6", BPF_CGROUP_UDP6_SENDMSG},
                                                              {"recvmsg4", BPF_CGROUP_UDP4_RECVMSG},
                                                              {"recvmsg6", BPF_CGROUP_UDP6_RECVMSG},
                                                              {"getpeername4", BPF_CGROUP_INET4_GETPEERNAME},
                                                              {"getpeername6", BPF_CGROUP_INET6_GETPEERNAME}}};

const Hook& hook_of(const std::string& program) {
  std::size_t at = 0;
  while (at + 1 < kHooks.size() && program != kSocketPrograms.at(at)) at++;
  return kHooks.at(at);
}

/// False: it is there and no directory of cgroup2.
Result<bool> is_cgroup2(const fs::path& path) {
  struct statfs found {};
  if (statfs(path.c_str(), &found) != 0) return fail(errno, "look at " + path.string());
  return found.f_type == CGROUP2_SUPER_MAGIC;
}

Result<fs::path> find_path(const Root& root, const NodeConfig& config) {
  if (!config.cgroup.empty()) {
    if (TRY(is_cgroup2(config.cgroup))) return fs::path(config.cgroup);
    return refuse(EINVAL, config.cgroup + " is no control group of version 2 (cgroup in sluice.yaml)");
  }
  for (const fs::path& path : {root.cgroup(), root.cgroup() / "unified"})
    if (const auto fits = is_cgroup2(path); fits && *fits) return path;
  return refuse(ENOENT, "no cgroup2 is mounted at " + root.cgroup().string() + " or below it at unified");
}

/// ENOENT: there is no such link.
Result<SocketAttachment> link_state(const Fd& link) {
  bpf_link_info info{};
  std::uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(link.get(), &info, &size) != 0) return fail(errno, "read what a link is");
  return SocketAttachment{.group_id = info.cgroup.cgroup_id, .program_id = info.prog_id};
}

}  // namespace

std::string socket_hook_name(const std::string& program) { return hook_of(program).name; }

Result<ControlGroup> ControlGroup::find(const Root& root, const NodeConfig& config) {
  const fs::path path = TRY(find_path(root, config));
  Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return fail(errno, "open control group " + path.string());
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return fail(errno, "look at control group " + path.string());
  return ControlGroup(path, status.st_ino, std::move(fd));  // the inode has the group's number
}

fs::path socket_link_pin(const Root& root, const std::string& name) { return root.pins() / "cgroup" / name; }

Result<void> attach_socket_hook(const Root& root, const ControlGroup& group, const std::string& name,
                                const Fd& program) {
  const fs::path pin = socket_link_pin(root, name);
  const std::string doing = "attach " + name + " to control group " + group.path().string();
  const auto there = open_pin(pin);
  if (there && TRY(link_state(*there)).group_id == group.id()) {
    if (bpf_link_update(there->get(), program.get(), nullptr) == 0) return {};
    if (errno != ENOLINK) return fail(errno, doing);
  } else if (!there && !there.failed_with(ENOENT)) {
    return there.error();
  }
  const Fd link(bpf_link_create(program.get(), group.fd().get(), hook_of(name).type, nullptr));
  if (link.get() < 0) return fail(errno, doing);
  return replace_pin(link, pin);
}

Result<bool> detach_socket_hook(const Root& root, const std::string& name) {
  const fs::path pin = socket_link_pin(root, name);
  const auto link = open_pin(pin);
  if (!link && !link.failed_with(ENOENT)) return link.error();
  if (link) bpf_link_detach(link->get());  // fails where the group is gone, and then nothing is attached
  TRY(remove_pin(pin));
  return bool(link);
}

Result<std::optional<SocketAttachment>> socket_attachment(const Root& root, const std::string& name) {
  const auto link = open_pin(socket_link_pin(root, name));
  if (link.failed_with(ENOENT)) return std::optional<SocketAttachment>();
  if (!link) return link.error();
  const SocketAttachment state = TRY(link_state(*link));
  return state.group_id != 0 ? std::optional(state) : std::nullopt;
}

Result<std::vector<std::string>> repair_socket_hooks(const Root& root, const NodeConfig& config) {
  const Lock lock = TRY(Lock::shared(root));
  TRY(open_pin(program_pin(root, kToPod)));
  std::vector<std::string> changes;
  const auto group = ControlGroup::find(root, config);
  if (!config.socket_balancing || !group) return changes;
  for (const char* name : kSocketPrograms) {
    const auto program = open_pin(program_pin(root, name));
    if (program.failed_with(ENOENT)) continue;  // loaded when socketBalancing was off
    if (!program) return program.error();
    const auto now = TRY(socket_attachment(root, name));
    if (now && now->group_id == group->id()) continue;
    TRY(attach_socket_hook(root, *group, name, *program));
    changes.push_back(std::string(name) + " was not on control group " + group->path().string() + ": attached again");
  }
  return changes;
}

}  // namespace sluice::loader::program
