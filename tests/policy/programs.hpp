/// The shipped programs as the loader loads them, over maps that Policies::update writes, asked by packets
/// (BPF_PROG_TEST_RUN). Nothing is attached and no packet travels.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "loader/state/policy/policies.hpp"
#include "maps/drop_reason.h"
#include "maps/fd.hpp"
#include "maps/views.hpp"
#include "tests/datapath/packet.hpp"
#include "tests/loader/node.hpp"

namespace sluice::test {

class Programs {
 public:
  /// In the namespaces of Node::enter_namespaces().
  Programs();

  /// What the agent of `node` does where these are the objects. A pod that is new has its interface before, as the CNI
  /// plugin makes it; one that is in `local` no more has lost it.
  void update(const loader::state::Cluster& cluster, const std::string& node,
              const std::vector<loader::state::policy::LocalPod>& local);
  /// From the next update on, it is an agent that was started anew.
  void restart_agent() { policies_.reset(); }

  [[nodiscard]] const loader::Root& root() const { return node_.root(); }
  [[nodiscard]] bool is_local(const Address& address) const { return pods_.contains(address); }
  /// Goes the packet its way? It meets from_pod where it comes from a pod of this node, else to_pod.
  [[nodiscard]] bool passes(const Packet& packet) const;
  /// Packets dropped for this reason so far (DROP_NONE: forwarded), at all hooks.
  [[nodiscard]] std::uint64_t packets(maps::drop_reason reason) const;

 private:
  struct Pod {
    std::string name;  ///< with its namespace
    std::uint32_t ifindex;
    Mac mac;
  };

  std::uint32_t interface_for(const std::string& pod);

  Node node_;
  Fd from_pod_, to_pod_;
  maps::Endpoints endpoints_;
  maps::Metrics metrics_;
  std::optional<loader::state::policy::Policies> policies_;
  std::map<Address, Pod> pods_;
  std::map<std::string, std::uint32_t> interfaces_;  ///< ifindex by the pod that has or had it
};

}  // namespace sluice::test
