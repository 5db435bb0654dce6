#include "loader/program/pin.hpp"

#include <bpf/bpf.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

namespace sluice::loader::program {
namespace {

Result<void> make_folder(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return fail(error.value(), "make folder " + path.string());
  return {};
}

Result<void> mount_bpffs(const std::filesystem::path& path) {
  TRY(make_folder(path));
  struct statfs found {};
  if (statfs(path.c_str(), &found) != 0) return fail(errno, "look at " + path.string());
  if (found.f_type == BPF_FS_MAGIC) return {};
  if (mount("bpf", path.c_str(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0)
    return fail(errno, "mount bpffs at " + path.string());
  return {};
}

}  // namespace

std::filesystem::path program_pin(const Root& root, const std::string& program) {
  return root.pins() / "progs" / program;
}

std::filesystem::path link_pin(const Root& root, const std::string& host_name, const char* hook) {
  return root.pins() / "links" / (host_name + "-" + hook);
}

Result<void> prepare_pins(const Root& root) {
  TRY(mount_bpffs(root.bpffs()));
  TRY(make_folder(root.maps()));
  TRY(make_folder(root.pins() / "progs"));
  TRY(make_folder(root.pins() / "cgroup"));
  TRY(make_folder(root.pins() / "xdp"));
  return make_folder(root.pins() / "links");
}

Result<Fd> open_pin(const std::filesystem::path& pin) {
  const int fd = bpf_obj_get(pin.c_str());
  if (fd < 0) return fail(errno, "open pin " + pin.string());
  return Fd(fd);
}

namespace {

/// Where a pin is made before it takes its name; bpffs allows no dots in a name.
std::filesystem::path fresh_pin(const std::filesystem::path& pin) { return pin.string() + "_new"; }

Result<void> unlink_pin(const std::filesystem::path& pin) {
  if (unlink(pin.c_str()) != 0 && errno != ENOENT) return fail(errno, "remove pin " + pin.string());
  return {};
}

}  // namespace

Result<void> replace_pin(const Fd& object, const std::filesystem::path& pin) {
  const auto fresh = fresh_pin(pin);
  TRY(unlink_pin(fresh));
  if (bpf_obj_pin(object.get(), fresh.c_str()) != 0) return fail(errno, "pin " + fresh.string());
  if (rename(fresh.c_str(), pin.c_str()) != 0) {
    const Error error = fail(errno, "rename " + fresh.string() + " to " + pin.string());
    unlink(fresh.c_str());
    return error;
  }
  return {};
}

Result<void> remove_pin(const std::filesystem::path& pin) {
  TRY(unlink_pin(fresh_pin(pin)));
  return unlink_pin(pin);
}

}  // namespace sluice::loader::program
