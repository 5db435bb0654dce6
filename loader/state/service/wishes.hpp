/// What a Service's annotations ask of the way that new connections are spread over its endpoints.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "loader/config.hpp"
#include "loader/kube/object.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader::state::service {

/// "random" or "maglev".
inline constexpr const char* kAlgorithm = "sluice.dev/algorithm";
/// "stable-*=9, canary-*=1, 10.0.0.7=0": an endpoint by its pod's name, with * for any rest of it, or by its address,
/// and its share against the others, 0 to 100. The first that fits counts; all others have 1. One with 0 gets no new
/// connections and keeps those that it has.
inline constexpr const char* kWeights = "sluice.dev/weights";

class Weights {
 public:
  static constexpr unsigned kMost = 100;

  /// EINVAL: not such a list.
  static Result<Weights> parse(const std::string& text);

  [[nodiscard]] unsigned of(const kube::Endpoint& endpoint) const;
  [[nodiscard]] bool all_equal() const { return weights_.empty(); }

 private:
  std::vector<std::pair<std::string, unsigned>> weights_;  ///< an address is as Address::text writes it
};

struct Wishes {
  Algorithm algorithm = Algorithm::kRandom;
  Weights weights;
  std::vector<std::string> warnings;  ///< about annotations that are not understood, which count as not there
};

/// `by_default`: the node's.
Wishes wishes_of(const kube::Object& object, Algorithm by_default);

}  // namespace sluice::loader::state::service
