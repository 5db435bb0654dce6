/// Address blocks as keys of the maps that find the longest prefix. IPv4 lies in ::ffff:0:0/96 there, so its lengths
/// count from 96; host bits are dropped.
#pragma once

#include "maps/address.hpp"
#include "maps/deny.h"
#include "maps/ipcache.h"
#include "maps/service.h"

namespace sluice::maps {

ipcache_key ipcache_key_of(const Prefix& block);
denied_key denied_key_of(const Prefix& block);
source_range_key source_range_key_of(std::uint32_t service, const Prefix& block);

}  // namespace sluice::maps
