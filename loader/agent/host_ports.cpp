#include "loader/agent/host_ports.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

#include "loader/net/netlink.hpp"
#include "loader/program/host_ports.hpp"
#include "loader/state/attachment.hpp"

namespace sluice::loader::agent {

Result<void> renew_host_ports(const Root& root) {
  auto all = TRY(state::attachments(root));
  std::erase_if(all, [](const state::Attachment& one) { return one.host_ports.empty(); });
  if (all.empty()) return {};
  auto netlink = TRY(net::Netlink::open());
  const auto node = TRY(program::node_addresses(netlink));
  auto ports = TRY(program::HostPorts::open(root));
  std::optional<Error> first;
  for (const state::Attachment& one : all) {
    auto lock = state::LockedAttachment::lock(root, one.key, std::chrono::milliseconds(0));
    if (!lock) continue;  // the plugin is at it
    const auto now = lock->read();
    if (!now) TRY(lock->remove());  // it has gone meanwhile
    if (!now || !now->complete) continue;
    if (auto put = ports.put(now->host_ports, now->addresses, node); !put && !first) first = put.error();
  }
  if (first) return *first;
  return {};
}

}  // namespace sluice::loader::agent
