/// What a configuration leaves open, filled in from the node: its sluice.yaml and its uplink.
#pragma once

#include <vector>

#include "cni/settings.hpp"
#include "loader/config.hpp"
#include "loader/net/netlink.hpp"

namespace sluice::cni {

struct Node {
  loader::NodeConfig config;
  std::vector<Prefix> pod_cidrs;
  int mtu = 0;
  loader::AttachMode attach = loader::AttachMode::kAuto;

  /// Error: kBadConfig for a malformed sluice.yaml.
  static Result<Node> read(const Scope& scope, const Settings& settings, loader::net::Netlink& host);
};

}  // namespace sluice::cni
