/// The maps that a loaded program uses: what another one must share to decide as it does.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

struct ProgramMap {
  Fd fd;
  std::string name;  ///< as far as the kernel keeps it
  std::uint32_t value_size;
};

Result<std::vector<ProgramMap>> maps_of(const Fd& program);
/// Null: it uses none of this name.
const ProgramMap* find_map(const std::vector<ProgramMap>& maps, std::string_view name);
/// What is loaded does not fit this binary. EPROTO.
Error other_build();

}  // namespace sluice::loader::program
