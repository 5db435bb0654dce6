#include "loader/observe/slot.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "maps/observer.h"

namespace sluice::loader::observe {

namespace {

std::filesystem::path folder_of(const Root& root) { return root.run() / "observers"; }

std::string file_of(const Root& root, unsigned number) { return folder_of(root) / std::to_string(number); }

// Locks of the open file and not of the process: a process may hold one slot and look at another, and two slots of one
// process exclude each other.
struct flock whole_file(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

/// "PID COMMAND", for people; written by the one who has the lock.
Result<void> sign(const Fd& file, const std::string& path) {
  const std::string text = std::to_string(getpid()) + " " + program_invocation_short_name + "\n";
  if (ftruncate(file.get(), 0) != 0 || pwrite(file.get(), text.data(), text.size(), 0) < 0)
    return fail(errno, "write " + path);
  return {};
}

SlotHolder read_signature(const Fd& file) {
  std::array<char, 64> text{};
  const auto length = pread(file.get(), text.data(), text.size() - 1, 0);
  if (length <= 0) return {};
  char* rest = nullptr;
  const auto pid = static_cast<pid_t>(std::strtol(text.data(), &rest, 10));
  std::string command = rest;
  command.erase(0, command.find_first_not_of(' '));
  command.erase(command.find_last_not_of('\n') + 1);
  return {pid, command};
}

}  // namespace

Result<Slot> Slot::take(const Root& root) {
  std::error_code error;
  std::filesystem::create_directories(folder_of(root), error);
  if (error) return fail(error.value(), "make folder " + folder_of(root).string());
  for (unsigned number = 0; number < OBSERVER_SLOTS; number++) {
    const std::string path = file_of(root, number);
    Fd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (file.get() < 0) return fail(errno, "open " + path);
    struct flock lock = whole_file(F_WRLCK);
    if (fcntl(file.get(), F_OFD_SETLK, &lock) == 0) {
      TRY(sign(file, path));
      return Slot(std::move(file), number);
    }
    if (errno != EAGAIN && errno != EACCES) return fail(errno, "lock " + path);
  }
  return refuse(EBUSY, "all " + std::to_string(OBSERVER_SLOTS) +
                           " observer slots are in use: `bpfctl status` shows by which processes, end one of them");
}

Result<std::optional<SlotHolder>> slot_holder(const Root& root, unsigned number) {
  const std::string path = file_of(root, number);
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 && errno == ENOENT) return std::optional<SlotHolder>();
  if (file.get() < 0) return fail(errno, "open " + path);
  struct flock lock = whole_file(F_RDLCK);  // what a reader may ask for; a holder's lock is in its way
  if (fcntl(file.get(), F_OFD_GETLK, &lock) != 0) return fail(errno, "look at the lock of " + path);
  if (lock.l_type == F_UNLCK) return std::optional<SlotHolder>();
  return std::optional(read_signature(file));
}

}  // namespace sluice::loader::observe
