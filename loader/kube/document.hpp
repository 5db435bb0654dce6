/// From text to documents, values of JSON. Private to loader/kube.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "maps/result.hpp"

namespace sluice::loader::kube {

/// Is given each document with its number, from 1; an empty one is null.
using TakeDocument = std::function<void(int number, const nlohmann::json& document)>;

/// Reads JSON (one document, which begins with "{") or YAML, one document after the other. Plain scalars are what YAML
/// 1.2's core schema (10.3.2) says, so that 1.1's "yes" and "on" are words. All strings are UTF-8.
/// EINVAL: the text is malformed, has a key twice, or unfolds to too much (an alias is a copy, and copies of copies
/// grow without end); the message names the document and the line. Documents before that one have been given.
Result<void> read_documents(const std::string& text, const TakeDocument& take);

}  // namespace sluice::loader::kube
