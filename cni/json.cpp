#include "cni/json.hpp"

#include "cni/error.hpp"

namespace sluice::cni {

namespace {

using nlohmann::json;

/// The value of `key`, of which `is_right` says whether it has the type; nullptr: missing or null.
Result<const json*> get(const json& object, const std::string& key, bool (json::*is_right)() const, const char* type) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return static_cast<const json*>(nullptr);
  if (!((*found).*is_right)()) return bad_config(key, "is " + std::string(found->type_name()) + ", not " + type);
  return &*found;
}

}  // namespace

Error bad_config(const std::string& key, const std::string& fault) {
  return failure(Code::kBadConfig, key + ": " + fault);
}

Result<std::optional<std::string>> get_string(const json& object, const std::string& key) {
  const json* value = TRY(get(object, key, &json::is_string, "a string"));
  return value != nullptr ? std::optional(value->get<std::string>()) : std::nullopt;
}

Result<std::optional<std::int64_t>> get_integer(const json& object, const std::string& key) {
  const json* value = TRY(get(object, key, &json::is_number_integer, "a whole number"));
  if (value != nullptr && value->is_number_unsigned() && value->get<std::uint64_t>() > INT64_MAX) {
    return bad_config(key, "is too large");
  }
  return value != nullptr ? std::optional(value->get<std::int64_t>()) : std::nullopt;
}

Result<std::optional<bool>> get_bool(const json& object, const std::string& key) {
  const json* value = TRY(get(object, key, &json::is_boolean, "true or false"));
  return value != nullptr ? std::optional(value->get<bool>()) : std::nullopt;
}

Result<std::optional<json>> get_object(const json& object, const std::string& key) {
  const json* value = TRY(get(object, key, &json::is_object, "an object"));
  return value != nullptr ? std::optional<json>(*value) : std::nullopt;
}

Result<std::optional<json>> get_array(const json& object, const std::string& key) {
  const json* value = TRY(get(object, key, &json::is_array, "an array"));
  return value != nullptr ? std::optional<json>(*value) : std::nullopt;
}

Result<std::vector<std::string>> get_strings(const json& object, const std::string& key) {
  std::vector<std::string> strings;
  const auto array = TRY(get_array(object, key));
  if (!array) return strings;
  for (const auto& item : *array) {
    if (!item.is_string()) return bad_config(key, "has " + item.dump() + " in it, which is not a string");
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

}  // namespace sluice::cni
