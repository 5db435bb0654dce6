/// A node of its own for one test process: network and mount namespace, root folder, and pods' interfaces on it. All is
/// gone when the process ends.
#pragma once

#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "loader/net/netlink.hpp"
#include "loader/net/netns.hpp"
#include "loader/root.hpp"
#include "maps/result.hpp"

namespace sluice::test {

/// Aborts the test program with the error's words where there is one: for what a test needs before it tests.
template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return *std::move(result);
}

inline void must(const Result<void>& result) {
  if (!result) throw std::runtime_error(result.error().message);
}

class Node {
 public:
  /// Moves the calling process into namespaces of its own; once a process.
  static void enter_namespaces();

  /// A root folder with nothing in it. Whatever hangs on this process's interfaces is removed with them.
  Node();
  ~Node();

  [[nodiscard]] const loader::Root& root() const { return root_; }
  /// A veth pair whose other end is in another namespace; returns the host's end.
  loader::net::Link add_interface(const std::string& name);
  loader::net::Link add_interface(const std::string& name, const loader::net::Netns& pod, const std::string& pod_name,
                                  const Mac& pod_mac);

 private:
  std::string folder_;
  loader::Root root_;
  std::vector<std::string> interfaces_;
};

}  // namespace sluice::test
