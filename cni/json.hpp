/// Keys of a JSON object, each of the type that it must have. A key that is missing or null is nullopt (the runtimes,
/// in Go, write null for "none"); one of another type is the error kBadConfig, which names it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "maps/result.hpp"

namespace sluice::cni {

[[nodiscard]] Error bad_config(const std::string& key, const std::string& fault);

Result<std::optional<std::string>> get_string(const nlohmann::json& object, const std::string& key);
Result<std::optional<std::int64_t>> get_integer(const nlohmann::json& object, const std::string& key);
Result<std::optional<bool>> get_bool(const nlohmann::json& object, const std::string& key);
Result<std::optional<nlohmann::json>> get_object(const nlohmann::json& object, const std::string& key);
Result<std::optional<nlohmann::json>> get_array(const nlohmann::json& object, const std::string& key);
/// Empty where the key is missing.
Result<std::vector<std::string>> get_strings(const nlohmann::json& object, const std::string& key);

}  // namespace sluice::cni
