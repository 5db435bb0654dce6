/// The shipped programs for sockets on a control group of the test's own, and real sockets in it: a test run
/// (BPF_PROG_TEST_RUN) of such programs there is none.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "loader/program/socket_tracer.hpp"
#include "maps/drop_reason.h"
#include "maps/metrics.h"
#include "maps/socket.h"
#include "tests/datapath/service_maps.hpp"
#include "tests/e2e/socket.hpp"

struct sock_bpf;

namespace sluice::test {

class SocketHooks {
 public:
  enum class Whose { kNode, kPod };

  /// The calling thread's network namespace is the node's own or that of a pod, the node has 192.0.2.1 and 2001:db8::1.
  /// `sockets`: how many the table holds.
  explicit SocketHooks(Whose whose = Whose::kNode, std::uint32_t sockets = 1024);
  SocketHooks(const SocketHooks&) = delete;
  SocketHooks& operator=(const SocketHooks&) = delete;
  ~SocketHooks();

  SocketHooks& service(const SocketAddress& frontend, std::uint8_t proto, const std::vector<SocketAddress>& backends,
                       const ServiceOptions& options = {});
  SocketHooks& service_address(const char* address);
  SocketHooks& backends_become(maps::backend_state state);

  /// Where sockets have the hooks.
  [[nodiscard]] e2e::Home home() const;
  /// What a trace says that a call would be given. Of the node's own.
  [[nodiscard]] std::optional<loader::program::SocketAnswer> traced(const SocketAddress& to, std::uint8_t proto) const;
  /// Calls that were translated.
  [[nodiscard]] std::uint64_t translated() const;
  [[nodiscard]] std::uint64_t refused(maps::drop_reason reason) const;
  /// Forgets what was written down of sockets for one direction, as an LRU may.
  void forget(maps::socket_direction direction);

 private:
  struct Group;

  std::unique_ptr<Group> group_;
  sock_bpf* skeleton_;
  std::unique_ptr<ServiceMaps> services_;
  std::vector<int> links_;
};

}  // namespace sluice::test
