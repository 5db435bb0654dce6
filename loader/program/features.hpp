/// What the running kernel can do of what Sluice uses.
#pragma once

#include <string>
#include <vector>

#include "maps/result.hpp"

namespace sluice::loader::program {

struct Feature {
  std::string name;  ///< as the kernel's documentation calls it
  bool present = false;
  bool required = false;
  std::string use;      ///< what Sluice does with it
  std::string without;  ///< what is lost where it is missing
};

/// Asks the kernel by trying, for each feature; needs root. Leaves nothing behind.
Result<std::vector<Feature>> probe_features();

/// The kernel's release, e.g. "6.1.0-56-amd64".
std::string kernel_release();

}  // namespace sluice::loader::program
