#include "cni/node.hpp"

#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "cni/error.hpp"

namespace sluice::cni {

namespace {

constexpr int kUsualMtu = 1500;

/// The device of the default route in the thread's network namespace. The kernel lists routes in the order of their
/// destinations, so that this reads one line however many pods there are.
std::optional<std::string> uplink() {
  std::ifstream routes("/proc/thread-self/net/route");
  std::string line, device, destination;
  std::getline(routes, line);
  std::getline(routes, line);
  if (std::istringstream(line) >> device >> destination && destination == "00000000") return device;

  std::ifstream routes6("/proc/thread-self/net/ipv6_route");
  while (std::getline(routes6, line)) {
    std::istringstream fields(line);
    std::string length, word;
    fields >> destination >> length;
    while (fields >> word) device = word;
    if (length == "00" && device != "lo") return device;
  }
  return std::nullopt;
}

int uplink_mtu(loader::net::Netlink& host) {
  const auto device = uplink();
  const auto link = device ? host.link(*device) : refuse(ENODEV, "no default route");
  return link ? link->mtu : kUsualMtu;
}

}  // namespace

Result<Node> Node::read(const Scope& scope, const Settings& settings, loader::net::Netlink& host) {
  Node node;
  node.config = TRY(as(Code::kBadConfig, loader::NodeConfig::read(scope.root)));
  node.pod_cidrs = settings.pod_cidrs.empty() ? node.config.pod_cidrs : settings.pod_cidrs;
  node.mtu = settings.mtu != 0 ? settings.mtu : node.config.mtu;
  if (node.mtu == 0) node.mtu = uplink_mtu(host);
  node.attach = settings.attach.value_or(node.config.pod_attach);
  return node;
}

}  // namespace sluice::cni
