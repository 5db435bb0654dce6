/// Network namespaces: one open namespace, and work done inside it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::loader::net {

/// Owns a reference to a network namespace, which lives at least as long.
class Netns {
 public:
  /// ENOENT: no such path. EINVAL: the path is not a network namespace (a bare file is left there after a reboot).
  static Result<Netns> open(const std::filesystem::path& path);
  static Result<Netns> current();
  /// The number by which BPF programs know the calling thread's namespace (SO_NETNS_COOKIE).
  static Result<std::uint64_t> current_cookie();

  /// Makes a new namespace, kept by a bind mount at `path` (which must not exist), with its loopback up.
  /// Undoes itself on failure. EEXIST: `path` exists.
  static Result<Netns> create(const std::filesystem::path& path);
  /// Unmounts and removes what `create` made. Succeeds when it is already gone.
  static Result<void> destroy(const std::filesystem::path& path);

  [[nodiscard]] int fd() const { return fd_.get(); }
  /// True when both are the same namespace.
  [[nodiscard]] bool same_as(const Netns& other) const;

  /// Runs `work` with the calling thread inside this namespace, and comes back whatever `work` returns.
  Result<void> run(const std::function<Result<void>()>& work) const;

 private:
  explicit Netns(Fd fd) : fd_(std::move(fd)) {}

  Fd fd_;
};

}  // namespace sluice::loader::net
