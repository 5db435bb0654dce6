#include "cni/node.hpp"

#include "cni/error.hpp"
#include "loader/program/uplink.hpp"

namespace sluice::cni {

Result<Node> Node::read(const Scope& scope, const Settings& settings, loader::net::Netlink& host) {
  Node node;
  node.config = TRY(as(Code::kBadConfig, loader::NodeConfig::read(scope.root)));
  node.pod_cidrs = settings.pod_cidrs.empty() ? node.config.pod_cidrs : settings.pod_cidrs;
  node.mtu = settings.mtu != 0 ? settings.mtu : node.config.mtu;
  if (node.mtu == 0) node.mtu = loader::program::pod_mtu(host, node.config);
  node.attach = settings.attach.value_or(node.config.pod_attach);
  return node;
}

}  // namespace sluice::cni
