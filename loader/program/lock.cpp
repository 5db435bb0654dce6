#include "loader/program/lock.hpp"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <chrono>
#include <thread>

namespace sluice::loader::program {
namespace {

constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::milliseconds kPause{1};
constexpr const char* kDatapath = "datapath.lock";
constexpr const char* kEndpoints = "endpoints.lock";
constexpr const char* kDenyList = "deny.lock";
constexpr const char* kHostPorts = "host_ports.lock";

Result<Fd> take(const Root& root, const char* name, int operation) {
  std::error_code error;
  std::filesystem::create_directories(root.run(), error);
  if (error) return fail(error.value(), "make folder " + root.run().string());
  const std::string path = root.run() / name;
  Fd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (file.get() < 0) return fail(errno, "open " + path);

  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (flock(file.get(), operation | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return fail(errno, "lock " + path);
    if (std::chrono::steady_clock::now() > deadline)
      return refuse(ETIMEDOUT, "another process has been changing the datapath for " +
                                   std::to_string(kPatience.count()) + " s: `fuser -v " + path + "` shows which");
    std::this_thread::sleep_for(kPause);
  }
  return file;
}

}  // namespace

Result<Lock> Lock::shared(const Root& root) { return Lock(TRY(take(root, kDatapath, LOCK_SH))); }

Result<Lock> Lock::exclusive(const Root& root) { return Lock(TRY(take(root, kDatapath, LOCK_EX))); }

Result<Lock> Lock::endpoints(const Root& root) { return Lock(TRY(take(root, kEndpoints, LOCK_EX))); }

Result<Lock> Lock::deny_list(const Root& root) { return Lock(TRY(take(root, kDenyList, LOCK_EX))); }

Result<Lock> Lock::host_ports(const Root& root) { return Lock(TRY(take(root, kHostPorts, LOCK_EX))); }

}  // namespace sluice::loader::program
