#include "tests/lab/cgroup.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string_view>

#include "maps/fd.hpp"
#include "tests/lab/record.hpp"

namespace sluice::lab::cgroup {

namespace {

constexpr std::chrono::seconds kPatience{10};

Result<void> write_control(const Path& file, std::string_view text) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno, "open " + file.string());
  const Fd out(fd);
  if (::write(fd, text.data(), text.size()) < 0) return fail(errno, "write " + file.string());
  return {};
}

/// Waits until no process is left in the group and below. The kernel wakes readers of cgroup.events by POLLPRI.
Result<void> wait_until_empty(const Path& group) {
  const Path file = group / "cgroup.events";
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno, "open " + file.string());
  const Fd events(fd);
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < end) {
    std::array<char, 256> text{};
    if (::pread(fd, text.data(), text.size() - 1, 0) < 0) return fail(errno, "read " + file.string());
    if (std::string_view(text.data()).find("populated 0") != std::string_view::npos) return {};
    pollfd wait{fd, POLLPRI, 0};
    (void)::poll(&wait, 1, 100);
  }
  return refuse(EBUSY, "processes in " + group.string() + " do not end");
}

Result<void> remove_tree(const Path& group) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(group, error)) {
    if (entry.is_directory(error)) TRY(remove_tree(entry.path()));
  }
  if (::rmdir(group.c_str()) != 0 && errno != ENOENT) return fail(errno, "remove " + group.string());
  return {};
}

Result<void> leave(const Path& root, const Path& group) {
  const auto own = TRY(read_file("/proc/self/cgroup")).value_or("");
  const auto ours = "0::/" + group.string();
  if (own.find(ours + "/") == std::string::npos && own.find(ours + "\n") == std::string::npos) return {};
  return write_control(root / "cgroup.procs", "0");
}

}  // namespace

Result<Path> hierarchy() {
  for (const char* candidate : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    struct statfs status {};
    if (::statfs(candidate, &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC) return Path(candidate);
  }
  return refuse(ENOENT, "no cgroup2 hierarchy at /sys/fs/cgroup or /sys/fs/cgroup/unified");
}

Result<Path> create(const Path& group) {
  const Path path = TRY(hierarchy()) / group;
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return fail(error.value(), "make control group " + path.string());
  return path;
}

Result<void> destroy(const Path& group) {
  const Path root = TRY(hierarchy());
  const Path path = root / group;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return {};
  TRY(leave(root, group));
  TRY(write_control(path / "cgroup.kill", "1"));
  TRY(wait_until_empty(path));
  return remove_tree(path);
}

}  // namespace sluice::lab::cgroup
