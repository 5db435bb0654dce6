#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "loader/kube/port.hpp"
#include "maps/address.hpp"

namespace sluice::loader::kube {

struct Endpoint {
  Address address;                     ///< the first of addresses, which is the only one that a client uses
  bool ready = true;                   ///< conditions.ready; where absent true
  bool serving = true;                 ///< conditions.serving; where absent the same as ready
  bool terminating = false;            ///< conditions.terminating; where absent false
  std::string node_name;               ///< empty: not known
  std::string zone;                    ///< empty: not known
  std::vector<std::string> for_zones;  ///< hints.forZones[].name
  std::vector<std::string> for_nodes;  ///< hints.forNodes[].name
  std::string pod;                     ///< targetRef's name where that is a Pod, in the slice's own namespace
  bool operator==(const Endpoint&) const = default;
};

struct EndpointPort {
  std::string name;  ///< of the service's port; may be empty
  Protocol protocol = Protocol::kTcp;
  std::uint16_t port = 0;
  bool operator==(const EndpointPort&) const = default;
};

/// discovery.k8s.io/v1 EndpointSlice.
struct EndpointSlice {
  enum class AddressType : std::uint8_t { kIpv4, kIpv6, kFqdn };

  std::string service;  ///< the label kubernetes.io/service-name, in the slice's namespace; empty: of no service
  AddressType address_type = AddressType::kIpv4;
  std::vector<EndpointPort> ports;  ///< of every endpoint; those without a number, which mean nothing, are left out
  std::vector<Endpoint> endpoints;  ///< none with kFqdn, which no service proxy uses
  bool operator==(const EndpointSlice&) const = default;
};

}  // namespace sluice::loader::kube
