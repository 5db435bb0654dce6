/// Host ports in the maps: frontends with one backend each, whose numbers are apart from those of the agent's Services
/// (maps/service.h). Needs no agent; several processes may be at it at the same time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "loader/host_port.hpp"
#include "loader/net/netlink.hpp"
#include "loader/root.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

/// The addresses by which others and the node itself reach it: all that it has but loopback and link-local ones.
Result<std::vector<Address>> node_addresses(net::Netlink& host);

class HostPorts {
 public:
  /// ENOENT: no datapath is loaded.
  static Result<HostPorts> open(const Root& root);

  HostPorts(HostPorts&&) noexcept;
  HostPorts& operator=(HostPorts&&) noexcept;
  ~HostPorts();

  /// From the next packet on `ports` lead to the pod that has the addresses `pod`, each to that of its family. What is
  /// there already is no error. EADDRINUSE: one leads to another pod, or is a Service's; E2BIG: there is no room; then
  /// nothing was changed.
  Result<void> put(const std::vector<HostPort>& ports, const std::vector<Address>& pod,
                   const std::vector<Address>& node);
  /// Takes back all that lead to one of these addresses. Succeeds where there are none.
  Result<void> erase(const std::vector<Address>& pod);
  /// Takes back those that lead to addresses of no pod of this node: their ADD was cut short, or their record was lost.
  Result<void> erase_dead();
  /// Which of `ports` does not lead to the pod, in words; nullopt: all do.
  [[nodiscard]] Result<std::optional<std::string>> missing(const std::vector<HostPort>& ports,
                                                           const std::vector<Address>& pod,
                                                           const std::vector<Address>& node) const;

 private:
  struct State;
  explicit HostPorts(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace sluice::loader::program
