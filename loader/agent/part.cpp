#include "loader/agent/part.hpp"

#include <unistd.h>

#include <array>

namespace sluice::loader::agent {

std::string node_name(const NodeConfig& config) {
  if (!config.node_name.empty()) return config.node_name;
  std::array<char, 256> host{};
  return gethostname(host.data(), host.size() - 1) == 0 ? host.data() : "";
}

}  // namespace sluice::loader::agent
