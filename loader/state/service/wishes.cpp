#include "loader/state/service/wishes.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string_view>

namespace sluice::loader::state::service {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

bool fits(std::string_view pattern, std::string_view name) {
  if (!pattern.ends_with('*')) return pattern == name;
  return name.starts_with(pattern.substr(0, pattern.size() - 1));
}

Result<std::pair<std::string, unsigned>> parse_one(std::string_view text) {
  const auto equals = text.find('=');
  const std::string_view who = trimmed(text.substr(0, equals));
  const std::string_view number = equals == std::string_view::npos ? "" : trimmed(text.substr(equals + 1));
  unsigned weight = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), weight);
  if (who.empty() || error != std::errc() || end != number.data() + number.size() || weight > Weights::kMost)
    return refuse(EINVAL, "\"" + std::string(trimmed(text)) + "\" is not POD=WEIGHT or ADDRESS=WEIGHT, 0 to 100");
  const auto address = Address::parse(who);
  return std::pair(address ? address->text() : std::string(who), weight);
}

}  // namespace

Result<Weights> Weights::parse(const std::string& text) {
  Weights all;
  std::string_view rest = text;
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const std::string_view one = rest.substr(0, comma);
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    if (!trimmed(one).empty()) all.weights_.push_back(TRY(parse_one(one)));
  }
  return all;
}

unsigned Weights::of(const kube::Endpoint& endpoint) const {
  if (weights_.empty()) return 1;
  const std::string address = endpoint.address.text();
  for (const auto& [who, weight] : weights_)
    if (who == address || (!endpoint.pod.empty() && fits(who, endpoint.pod))) return weight;
  return 1;
}

Wishes wishes_of(const kube::Object& object, Algorithm by_default) {
  Wishes wishes{by_default, {}, {}};
  const auto& annotations = object.annotations;
  const auto warn = [&](const char* annotation, const std::string& what) {
    wishes.warnings.push_back(object.id.text() + ": annotation " + annotation + ": " + what + ", so it does not count");
  };
  if (const auto wish = annotations.find(kAlgorithm); wish != annotations.end()) {
    if (wish->second == "maglev" || wish->second == "random")
      wishes.algorithm = wish->second == "maglev" ? Algorithm::kMaglev : Algorithm::kRandom;
    else
      warn(kAlgorithm, "\"" + wish->second + "\" is neither random nor maglev");
  }
  if (const auto wish = annotations.find(kWeights); wish != annotations.end()) {
    auto weights = Weights::parse(wish->second);
    if (weights)
      wishes.weights = *std::move(weights);
    else
      warn(kWeights, weights.error().message);
  }
  return wishes;
}

}  // namespace sluice::loader::state::service
