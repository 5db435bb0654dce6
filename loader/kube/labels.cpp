#include "loader/kube/labels.hpp"

#include <algorithm>

namespace sluice::loader::kube {

namespace {

using Operator = LabelRequirement::Operator;

std::string text_of(const LabelRequirement& requirement) {
  const auto& [key, op, values] = requirement;
  if (op == Operator::kExists) return key;
  if (op == Operator::kDoesNotExist) return "!" + key;
  if (values.size() == 1) return key + (op == Operator::kIn ? "=" : "!=") + values.front();
  std::string list;
  for (const auto& value : values) list += (list.empty() ? "" : ",") + value;
  return key + (op == Operator::kIn ? " in (" : " notin (") + list + ")";
}

}  // namespace

bool LabelRequirement::matches(const Labels& labels) const {
  const auto label = labels.find(key);
  const bool present = label != labels.end();
  const auto listed = [&] { return std::binary_search(values.begin(), values.end(), label->second); };
  switch (op) {
    case Operator::kIn:
      return present && listed();
    case Operator::kNotIn:
      return !present || !listed();
    case Operator::kExists:
      return present;
    case Operator::kDoesNotExist:
      return !present;
  }
  return false;
}

bool LabelSelector::matches(const Labels& labels) const {
  return std::all_of(requirements.begin(), requirements.end(), [&](const auto& one) { return one.matches(labels); });
}

std::string LabelSelector::text() const {
  std::string all;
  for (const auto& requirement : requirements) all += (all.empty() ? "" : ",") + text_of(requirement);
  return all;
}

}  // namespace sluice::loader::kube
