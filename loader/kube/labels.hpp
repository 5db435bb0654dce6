/// Labels and what selects by them (Kubernetes' meta/v1 LabelSelector).
#pragma once

#include <map>
#include <string>
#include <vector>

namespace sluice::loader::kube {

using Labels = std::map<std::string, std::string>;

/// One condition on one label. An object that lacks `key` fulfils kNotIn and kDoesNotExist.
struct LabelRequirement {
  enum class Operator { kIn, kNotIn, kExists, kDoesNotExist };

  std::string key;
  Operator op = Operator::kExists;
  std::vector<std::string> values;  ///< sorted, each once; at least one with kIn and kNotIn, else none

  [[nodiscard]] bool matches(const Labels& labels) const;
  auto operator<=>(const LabelRequirement&) const = default;
};

/// Labels match where every requirement does: a selector without any matches everything. What an absent selector means
/// differs from place to place; the objects say it where they hold one. matchLabels are requirements of kIn with one
/// value. Requirements are sorted, each once, so that equal selectors compare equal.
struct LabelSelector {
  std::vector<LabelRequirement> requirements;

  [[nodiscard]] bool matches(const Labels& labels) const;
  [[nodiscard]] bool everything() const { return requirements.empty(); }
  [[nodiscard]] std::string text() const;  ///< "app=web,tier in (a,b),!old", as kubectl takes it; empty: everything
  auto operator<=>(const LabelSelector&) const = default;
};

}  // namespace sluice::loader::kube
