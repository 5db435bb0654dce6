/// What ADD, CHECK and DEL have in common: the container, and the record of its attachment.
#pragma once

#include <chrono>

#include "cni/node.hpp"
#include "cni/request.hpp"
#include "cni/settings.hpp"
#include "loader/net/netlink.hpp"
#include "loader/net/netns.hpp"
#include "loader/state/attachment.hpp"

namespace sluice::cni {

/// How long a command waits for another one of the same attachment. kubelet gives a plugin minutes.
inline constexpr std::chrono::seconds kPatience{30};

inline loader::state::AttachmentKey key_of(const Request& request) { return {request.container_id, request.ifname}; }

/// The container's network namespace. kUnknownContainer: there is none at the path. kBadEnvironment: it is something
/// else, or the node's own.
Result<loader::net::Netns> open_container(const Request& request);

/// Takes the attachment for an ADD: its lock, and what a dead ADD has left is cleared away. kAttached: it is attached.
/// kTryAgain: another process is at it.
Result<loader::state::LockedAttachment> claim(const Request& request, const Scope& scope, loader::net::Netlink& host);

/// The record that is written ahead of everything else.
loader::state::Attachment plan(const Request& request, const Scope& scope, const Settings& settings, const Node& node);

}  // namespace sluice::cni
