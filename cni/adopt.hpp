/// ADD after a plugin that has made the pod's interface already, such as ptp: Sluice hangs its programs on the host's
/// end and carries the pod's packets from there on.
#pragma once

#include <nlohmann/json.hpp>

#include "cni/node.hpp"
#include "cni/request.hpp"
#include "cni/settings.hpp"
#include "loader/net/netlink.hpp"
#include "loader/net/netns.hpp"
#include "loader/program/datapath.hpp"

namespace sluice::cni {

/// Returns the prevResult as the configuration's version has it. kForeignInterface: the prevResult does not
/// tell of the interface, or it is not one end of a veth pair whose other end is routed by this node: not a veth, or a
/// bridge's port.
Result<nlohmann::json> adopt(const Request& request, const Scope& scope, const Settings& settings, const Node& node,
                             const loader::net::Netns& netns, loader::net::Netlink& host,
                             loader::program::Datapath& datapath);

}  // namespace sluice::cni
