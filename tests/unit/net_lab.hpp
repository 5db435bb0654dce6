/// Network namespaces of a test's own, gone with it.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "loader/net/netns.hpp"

namespace sluice::tests {

/// A value that a test cannot go on without.
template <typename T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().message);
  return *std::move(result);
}

inline void must(const Result<void>& result) {
  if (!result) FAIL(result.error().message);
}

/// A new namespace with a bind mount in the system's folder for temporary files, named for this process.
class TemporaryNetns {
 public:
  TemporaryNetns() : path_(next_path()), netns_(must(loader::net::Netns::create(path_))) {}
  TemporaryNetns(const TemporaryNetns&) = delete;
  TemporaryNetns& operator=(const TemporaryNetns&) = delete;
  ~TemporaryNetns() { (void)loader::net::Netns::destroy(path_); }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] const loader::net::Netns& netns() const { return netns_; }

 private:
  static std::filesystem::path next_path() {
    static int count = 0;
    return std::filesystem::temp_directory_path() /
           ("sluice-unit-netns-" + std::to_string(getpid()) + "-" + std::to_string(count++));
  }

  std::filesystem::path path_;
  loader::net::Netns netns_;
};

/// True as soon as `condition` is, false when it is not after `limit`.
template <typename Condition>
bool within(std::chrono::milliseconds limit, Condition condition) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

/// True when the test may make namespaces; says what is skipped when not.
inline bool has_root() {
  if (geteuid() == 0) return true;
  MESSAGE("skipped: network namespaces need root");
  return false;
}

}  // namespace sluice::tests
