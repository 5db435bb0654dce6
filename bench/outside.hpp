/// What an outside client's packet costs that is sent on to an endpoint on another node: in from_uplink, and in
/// xdp_uplink.
#pragma once

namespace sluice::bench {

/// Prints tables as measure.hpp has them. Of from_uplink, the time is that of the program alone: the making of the
/// packet before it and the tunnel device behind it come on top. xdp_uplink does what these do itself, but for the
/// sending.
void outside_clients();

}  // namespace sluice::bench
