/// Manifests: YAML or JSON files with any number of objects, as kubectl takes and gives them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "loader/kube/object.hpp"
#include "maps/result.hpp"

namespace sluice::loader::kube {

/// What a file says. Its good objects are there whatever is wrong with others.
struct Manifest {
  std::vector<Object> objects;
  std::vector<std::string> errors;  ///< "document 2: Service shop/web: spec.ports[0].port: ..."
};

/// The objects of all documents, those inside a List (what `kubectl get -o yaml` prints) too; empty documents count and
/// give none. An error names the document (from 1), the object and the field; of what is malformed the line, and no
/// document after it is read.
Manifest parse_documents(const std::string& text, Keep keep);

/// The same where nothing may be wrong. EINVAL: the first error, with the file's name before it.
Result<std::vector<Object>> parse_manifest(const std::string& text, const std::string& file_name,
                                           Keep keep = Keep::kAll);

/// The objects of one file. ENOENT and the like: it cannot be read.
Result<std::vector<Object>> read_manifest(const std::filesystem::path& file, Keep keep = Keep::kAll);

/// The whole of a file. ENOENT and the like: it cannot be read; EISDIR: it is a folder.
Result<std::string> read_text(const std::filesystem::path& file);

}  // namespace sluice::loader::kube
