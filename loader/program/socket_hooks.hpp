/// The hooks of sockets: programs on a control group, which see the calls of its processes that name addresses
/// (bpf/sock.bpf.c). Each is a link that is pinned by the name of its program.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "loader/config.hpp"
#include "loader/root.hpp"
#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

/// The programs, by the names of their functions.
inline constexpr std::array kSocketPrograms = {"sock_connect4", "sock_connect6", "sock_sendmsg4",  "sock_sendmsg6",
                                               "sock_recvmsg4", "sock_recvmsg6", "sock_peername4", "sock_peername6"};

/// "connect4": what the kernel calls the hook of a program of kSocketPrograms.
std::string socket_hook_name(const std::string& program);

/// The control group (version 2) that the node's own processes and its pods are in or below.
class ControlGroup {
 public:
  /// The configured one; else /sys/fs/cgroup under the root, or /sys/fs/cgroup/unified beside version 1's groups.
  /// ENOENT: there is none. EINVAL: what is there is no control group of version 2.
  static Result<ControlGroup> find(const Root& root, const NodeConfig& config);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// As the kernel numbers groups; no two that are there have the same.
  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] const Fd& fd() const { return fd_; }

 private:
  ControlGroup(std::filesystem::path path, std::uint64_t id, Fd fd)
      : path_(std::move(path)), id_(id), fd_(std::move(fd)) {}

  std::filesystem::path path_;
  std::uint64_t id_;
  Fd fd_;
};

/// The pin of a program's link.
std::filesystem::path socket_link_pin(const Root& root, const std::string& name);

/// Puts program `name` on the group, or in one step in the place of its predecessor there. EPERM: somebody else's
/// program is there and wants no other beside it.
Result<void> attach_socket_hook(const Root& root, const ControlGroup& group, const std::string& name,
                                const Fd& program);
/// Takes it off again. False: it was not there.
Result<bool> detach_socket_hook(const Root& root, const std::string& name);

struct SocketAttachment {
  std::uint64_t group_id = 0;  ///< 0: the group is gone
  std::uint32_t program_id = 0;
};
/// Where the program hangs. nullopt: nowhere.
Result<std::optional<SocketAttachment>> socket_attachment(const Root& root, const std::string& name);

/// Puts back what somebody has taken off, and says what that was. ENOENT: nothing is loaded.
Result<std::vector<std::string>> repair_socket_hooks(const Root& root, const NodeConfig& config);

}  // namespace sluice::loader::program
