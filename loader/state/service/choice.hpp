/// Which endpoints of a Service's port are used: what kube-proxy promises. Pure functions over the objects.
///
/// Sources: EndpointSlice API (conditions), KEP-1669 (serving and terminating endpoints), KEP-2433 and KEP-3015
/// (hints), KEP-2086 (internalTrafficPolicy).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "loader/kube/endpoint_slice.hpp"
#include "loader/kube/service.hpp"
#include "maps/address.hpp"

namespace sluice::loader::state::service {

/// The node that chooses.
struct Here {
  std::string node;
  std::string zone;  ///< empty: in none
  bool operator==(const Here&) const = default;
};

/// An endpoint of one port of a Service.
struct Candidate {
  Address address;
  std::uint16_t port = 0;  ///< the target port, as the endpoint's slice has it
  bool ready = true;
  bool serving = true;
  bool terminating = false;
  bool local = false;  ///< a pod of this node
  const kube::Endpoint* from = nullptr;
};

/// Those of `family_v4`, each address and port once, ordered by both. Of two slices that contradict each other (an
/// endpoint that moves between slices) the one that says ready counts. `slices` live as long as the result.
std::vector<Candidate> candidates(const kube::Service& service, const kube::ServicePort& port,
                                  const std::vector<const kube::EndpointSlice*>& slices, bool family_v4,
                                  const Here& here);

/// Indices into `all`. `local_only`: traffic policy Local.
std::vector<std::size_t> choose(const std::vector<Candidate>& all, bool local_only, const Here& here);

/// What healthCheckNodePort answers with: endpoints of the Service on this node that are ready. A pod with an address
/// of each family counts once.
std::size_t ready_here(const kube::Service& service, const std::vector<const kube::EndpointSlice*>& slices,
                       const Here& here);

/// Why `one` is used or not, in words.
std::string explain(const std::vector<Candidate>& all, std::size_t one, bool local_only, const Here& here);

}  // namespace sluice::loader::state::service
