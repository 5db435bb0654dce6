/// The maps of Services in a loaded object, filled as the agent would fill them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "maps/service.h"
#include "tests/datapath/packet.hpp"

struct bpf_map;

namespace sluice::test {

/// A Service's port, as the agent would write it.
struct ServiceOptions {
  std::uint32_t id = 1;
  std::uint32_t flags = 0;  ///< SERVICE_*
  std::uint32_t affinity_s = 0;
  std::vector<std::string> source_ranges;  ///< of whole addresses
};

class ServiceMaps {
 public:
  ServiceMaps(const bpf_map* services, const bpf_map* slots, const bpf_map* backends, const bpf_map* source_ranges)
      : services_(services), slots_(slots), backends_(backends), source_ranges_(source_ranges) {}

  /// A frontend "10.96.0.1:80" of `proto` with these backends, all of them to be chosen. One with the same address is
  /// replaced; the numbers of backends are given out anew.
  void service(const SocketAddress& frontend, std::uint8_t proto, const std::vector<SocketAddress>& backends,
               const ServiceOptions& options);
  /// An address of which unserved ports are refused.
  void address(const Address& address);
  /// The endpoints that a service had no longer serve: their state is `state`.
  void backends_become(maps::backend_state state);

 private:
  const bpf_map *services_, *slots_, *backends_, *source_ranges_;
  std::uint32_t count_ = 0;  ///< of backends so far
};

}  // namespace sluice::test
