/// What the hooks of sockets would give a call of the node's own processes, without one: their stages in a program that
/// is attached nowhere (bpf/socket_trace.bpf.c), over the tables and with the constants of those that are loaded. It
/// writes nothing.
#pragma once

#include <cstdint>
#include <optional>

#include "maps/address.hpp"
#include "maps/drop_reason.h"
#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

struct SocketAnswer {
  std::uint32_t service = 0;                    ///< struct service.id; 0: the address is a Service's, the port none's
  maps::drop_reason refused = maps::DROP_NONE;  ///< why the call fails
  SocketAddress backend;                        ///< whom it is given, where it does not
};

/// `hook`: a loaded one of kSocketPrograms. nullopt: the call goes where it says. EPROTO: it is of another build.
Result<std::optional<SocketAnswer>> ask_sockets(const Fd& hook, const SocketAddress& to, std::uint8_t proto);

}  // namespace sluice::loader::program
