#include "loader/root.hpp"

#include <cstdlib>

namespace sluice::loader {

Root Root::from_environment() {
  const char* prefix = std::getenv("SLUICE_ROOT");
  return Root(prefix != nullptr ? prefix : "");
}

}  // namespace sluice::loader
