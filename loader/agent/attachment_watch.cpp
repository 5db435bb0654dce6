#include "loader/agent/attachment_watch.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "loader/state/attachment.hpp"

namespace sluice::loader::agent {

Result<AttachmentWatch> AttachmentWatch::open(const Root& root) {
  const std::filesystem::path folder = state::attachment_folder(root);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return fail(error.value(), "make " + folder.string());
  Fd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (inotify.get() < 0 ||
      inotify_add_watch(inotify.get(), folder.c_str(), IN_CLOSE_WRITE | IN_MOVED_TO | IN_MODIFY | IN_DELETE) < 0)
    return fail(errno, "watch " + folder.string());
  return AttachmentWatch(std::move(inotify));
}

void AttachmentWatch::drain() const {
  std::array<char, 4096> buffer;
  while (::read(inotify_.get(), buffer.data(), buffer.size()) > 0) {
  }
}

}  // namespace sluice::loader::agent
