/// Maglev's lookup table (Eisenbud et al., NSDI '16, 3.4): every backend fills the slots in an order of its own, one
/// after the other, so that a backend that goes leaves nearly all slots of the others as they are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sluice::loader::state::service {

/// The smallest prime that is at least 100 times the number of backends, that rounded up to a power of two: no backend
/// has much more than 1 % more slots than another, and one that comes or goes seldom changes the size, which moves
/// every flow.
std::uint32_t maglev_size(std::size_t backends);

/// For each slot an index into `names`, which tell backends apart (an address with its port) and must differ.
/// `weights`, one for each, none 0: how many slots a backend has against the others; empty: all alike. Nodes with the
/// same names in the same order have the same table. Empty where there are none.
std::vector<std::uint32_t> maglev_table(const std::vector<std::string>& names,
                                        const std::vector<unsigned>& weights = {});

}  // namespace sluice::loader::state::service
