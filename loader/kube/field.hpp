/// One field of a JSON object together with the way to it, so that whatever is wrong can be named. Private to
/// loader/kube.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "maps/result.hpp"

namespace sluice::loader::kube {

/// A field that may be absent; null counts as absent, as in Kubernetes. Lives as long as the document.
class Field {
 public:
  explicit Field(const nlohmann::json& document) : value_(&document) {}

  /// The member `key`, absent where this field is absent. EINVAL: this field is not an object.
  [[nodiscard]] Result<Field> at(const std::string& key) const;
  /// The elements, none where the field is absent. EINVAL: not a list.
  [[nodiscard]] Result<std::vector<Field>> elements() const;
  /// EINVAL: not a string. An absent field is an empty string.
  [[nodiscard]] Result<std::string> text() const;
  /// As `text`. EINVAL also where the field is absent or empty.
  [[nodiscard]] Result<std::string> required_text() const;
  /// EINVAL: neither true nor false. An absent field is false.
  [[nodiscard]] Result<bool> boolean() const;
  /// EINVAL: not a whole number from `low` to `high`. An absent field is 0.
  [[nodiscard]] Result<std::int64_t> integer(std::int64_t low, std::int64_t high) const;
  /// EINVAL: not an object, or a value in it that is not a string.
  [[nodiscard]] Result<std::map<std::string, std::string>> text_map() const;

  [[nodiscard]] bool is_number() const { return value_ != nullptr && value_->is_number(); }
  [[nodiscard]] bool absent() const { return value_ == nullptr || value_->is_null(); }
  /// EINVAL with this field's path before `what`: "spec.podCIDRs[1]: must be ...".
  [[nodiscard]] Error wrong(const std::string& what) const;

 private:
  Field(const nlohmann::json* value, std::string path) : value_(value), path_(std::move(path)) {}
  [[nodiscard]] Error not_a(const std::string& type) const;

  const nlohmann::json* value_;
  std::string path_;
};

}  // namespace sluice::loader::kube
