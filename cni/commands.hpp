/// The commands of the plugin, one a source file. Each returns what goes to standard output; null: nothing.
#pragma once

#include <nlohmann/json.hpp>

#include "cni/request.hpp"
#include "maps/result.hpp"

namespace sluice::cni {

/// Attaches the container (CNI spec 1.1.0, "ADD"). Whatever fails, nothing is left behind.
Result<nlohmann::json> add(const Request& request);
/// Undoes an ADD, by its record, also one that was cut short or is undone already ("DEL").
Result<nlohmann::json> del(const Request& request);
/// Says what of an ADD's work is missing or changed ("CHECK").
Result<nlohmann::json> check(const Request& request);
/// Takes down the network's attachments that are not among cni.dev/valid-attachments ("GC").
Result<nlohmann::json> gc(const Request& request);
/// Fails where an ADD would ("STATUS").
Result<nlohmann::json> status(const Request& request);
/// The versions that are answered ("VERSION").
nlohmann::json version(const Request& request);

}  // namespace sluice::cni
