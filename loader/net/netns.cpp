#include "loader/net/netns.hpp"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>

#include "loader/net/netlink.hpp"

namespace sluice::loader::net {

namespace {

// A thread's own view: /proc/self would be the main thread's namespace.
constexpr const char* kOwnNetns = "/proc/thread-self/ns/net";

/// The thread's namespace at construction, gone back to at destruction.
class Return {
 public:
  explicit Return(const Netns& home) : home_(home) {}
  Return(const Return&) = delete;
  Return& operator=(const Return&) = delete;
  // A thread that cannot come back would go on working on the wrong node or pod without noticing.
  ~Return() {
    if (setns(home_.fd(), CLONE_NEWNET) != 0) std::abort();
  }

 private:
  const Netns& home_;
};

}  // namespace

Result<Netns> Netns::open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail(errno, "open network namespace " + path.string());
  Netns netns{Fd(fd)};
  if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) return refuse(EINVAL, path.string() + " is not a network namespace");
  return netns;
}

Result<Netns> Netns::current() { return open(kOwnNetns); }

Result<std::uint64_t> Netns::current_cookie() {
  const Fd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  std::uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  if (any.get() < 0 || ::getsockopt(any.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0)
    return fail(errno, "ask for the network namespace's cookie");
  return cookie;
}

Result<Netns> Netns::create(const std::filesystem::path& path) {
  const auto doing = "make network namespace " + path.string();
  const Netns home = TRY(current());
  const int file = ::open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
  if (file < 0) return fail(errno, doing);
  ::close(file);

  auto made = [&]() -> Result<Netns> {
    if (unshare(CLONE_NEWNET) != 0) return fail(errno, doing + ": unshare");
    const Return back(home);
    if (mount(kOwnNetns, path.c_str(), nullptr, MS_BIND, nullptr) != 0) return fail(errno, doing + ": bind mount");
    auto netlink = TRY(Netlink::open().context(doing));
    TRY(netlink.set_up(1).context(doing + ": loopback"));  // lo is the first device of every namespace
    return current();
  }();
  if (!made) (void)destroy(path);
  return made;
}

Result<void> Netns::destroy(const std::filesystem::path& path) {
  // EINVAL: a bare file, as a reboot or a creation cut short leaves it.
  if (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL && errno != ENOENT) {
    return fail(errno, "unmount network namespace " + path.string());
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail(errno, "remove network namespace " + path.string());
  return {};
}

bool Netns::same_as(const Netns& other) const {
  struct stat mine {};
  struct stat theirs {};
  return fstat(fd(), &mine) == 0 && fstat(other.fd(), &theirs) == 0 && mine.st_dev == theirs.st_dev &&
         mine.st_ino == theirs.st_ino;
}

Result<void> Netns::run(const std::function<Result<void>()>& work) const {
  const Netns home = TRY(current());
  if (setns(fd(), CLONE_NEWNET) != 0) return fail(errno, "enter network namespace");
  const Return back(home);
  return work();
}

}  // namespace sluice::loader::net
