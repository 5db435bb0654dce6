/// The datapath's side of an attachment: programs on the host's end, and the pod's addresses in the endpoints map.
#pragma once

#include "cni/node.hpp"
#include "cni/settings.hpp"
#include "loader/net/netlink.hpp"
#include "loader/program/datapath.hpp"
#include "loader/state/attachment.hpp"

namespace sluice::cni {

/// What the endpoints map holds of each of the attachment's addresses.
loader::program::Endpoint endpoint_of(const loader::state::Attachment& attachment);

/// Hangs the programs on the host's end. Where "delivery" is "stack" other tc users are to be expected, and tcx leaves
/// them the interface's ingress qdisc.
Result<void> attach_programs(loader::program::Datapath& datapath, const loader::state::Attachment& attachment,
                             loader::AttachMode mode);

/// Writes the endpoints. From here on the pod's packets are carried. kAddressTaken: an address belongs to another
/// interface that is there.
Result<void> make_known(loader::program::Datapath& datapath, loader::net::Netlink& host,
                        const loader::state::Attachment& attachment);

/// Opens the attachment's host ports. kPortTaken: one is another pod's, or a Service's.
Result<void> open_host_ports(const loader::Root& root, loader::net::Netlink& host,
                             const loader::state::Attachment& attachment);

/// Where an agent looks after policy: waits until it has given the pod its own, ten seconds at most. kTryAgain: it has
/// not.
Result<void> await_policy(loader::program::Datapath& datapath, const loader::state::Attachment& attachment);

}  // namespace sluice::cni
