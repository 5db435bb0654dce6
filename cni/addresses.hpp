/// The addresses of one attachment: from Sluice's own pool, or from the IPAM plugin that the configuration names.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "cni/delegate.hpp"
#include "cni/result.hpp"
#include "cni/settings.hpp"
#include "loader/state/ipam.hpp"

namespace sluice::cni {

struct Assignment {
  std::vector<Address> addresses;
  std::vector<ResultRoute> routes;  ///< what the IPAM plugin wants instead of the default routes
  nlohmann::json dns;               ///< null: none
};

/// One address of each family of `blocks`: that of `wanted`, else the next that is free. What is reserved when it fails
/// stays so. Errors: kNoAddress, kAddressTaken, kBadConfig where there are no blocks.
Result<Assignment> assign_own(loader::state::Ipam& ipam, const std::vector<Prefix>& blocks,
                              const std::vector<Address>& wanted, const loader::state::Owner& owner);

/// Asks the plugin. Errors: its own; kDelegate where its answer has no address.
Result<Assignment> assign_delegated(const Delegate& delegate);

}  // namespace sluice::cni
