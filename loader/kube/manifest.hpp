/// Manifests: YAML or JSON files with any number of objects, as kubectl takes and gives them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "loader/kube/object.hpp"
#include "maps/result.hpp"

namespace sluice::loader::kube {

/// The objects of all documents, those inside a List (what `kubectl get -o yaml` prints) too; empty documents count and
/// give none. EINVAL: a document is malformed or a field has a wrong value; the message names the file, the document
/// (from 1), the object and the field, or the line.
Result<std::vector<Object>> parse_manifest(const std::string& text, const std::string& file_name);

/// The objects of one file. ENOENT and the like: it cannot be read.
Result<std::vector<Object>> read_manifest(const std::filesystem::path& file);

}  // namespace sluice::loader::kube
