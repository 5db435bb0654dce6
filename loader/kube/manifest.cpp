#include "loader/kube/manifest.hpp"

#include <yaml-cpp/yaml.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace sluice::loader::kube {

namespace {

using nlohmann::json;

/// Bounds of what a document may unfold to: an alias is a copy, and copies of copies grow without end.
constexpr int kMaxDepth = 100;
constexpr int kMaxValues = 1'000'000;

/// A scalar without quotes is what YAML 1.2's core schema (10.3.2) says, and 1.1's "yes" and "on" are words.
json plain_scalar(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const char* const end = text.data() + text.size();
  std::int64_t integer = 0;
  if (auto [at, error] = std::from_chars(text.data(), end, integer); error == std::errc() && at == end) return integer;
  double number = 0;
  if (auto [at, error] = std::from_chars(text.data(), end, number);
      error == std::errc() && at == end && std::isfinite(number)) {
    return number;
  }
  return text;
}

class Converter {
 public:
  Result<json> convert(const YAML::Node& node, int depth = 0) {
    if (depth > kMaxDepth) return at(node, "is nested too deeply");
    if (++values_ > kMaxValues) return at(node, "unfolds to too many values");
    switch (node.Type()) {
      case YAML::NodeType::Scalar:
        // The tag "!" says that the scalar has quotes or is a block.
        if (node.Tag() == "!" || node.Tag() == "tag:yaml.org,2002:str") return json(node.Scalar());
        return plain_scalar(node.Scalar());
      case YAML::NodeType::Sequence: {
        json list = json::array();
        for (const auto& element : node) list.push_back(TRY(convert(element, depth + 1)));
        return list;
      }
      case YAML::NodeType::Map:
        return mapping(node, depth);
      default:
        return json();
    }
  }

 private:
  Result<json> mapping(const YAML::Node& node, int depth) {
    json object = json::object();
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) return at(entry.first, "has a key that is not a word");
      const auto& key = entry.first.Scalar();
      if (object.contains(key)) return at(entry.first, "has " + key + " twice");
      object[key] = TRY(convert(entry.second, depth + 1));
    }
    return object;
  }

  static Error at(const YAML::Node& node, const std::string& what) {
    return refuse(EINVAL, "line " + std::to_string(node.Mark().line + 1) + ": " + what);
  }

  int values_ = 0;
};

/// The number of the document that `line` (from 0) is in, counted as the parser gives them out.
int document_at(const std::string& text, int line) {
  int document = 1;
  bool content = false;
  std::istringstream lines(text);
  std::string current;
  for (int i = 0; i <= line && std::getline(lines, current); ++i) {
    if (current.starts_with("---")) {
      document += content ? 1 : 0;
      content = true;
    } else if (const auto first = current.find_first_not_of(" \t\r"); first != std::string::npos) {
      content |= current[first] != '#' && current[first] != '%';
    }
  }
  return document;
}

Result<void> add_objects(const json& document, std::vector<Object>& objects) {
  if (document.is_null()) return {};
  const auto kind = document.is_object() ? document.value("kind", json()) : json();
  const bool list = kind.is_string() && kind.get_ref<const std::string&>().ends_with("List");
  if (!list || !document.contains("items")) {
    objects.push_back(TRY(decode(document.dump(-1, ' ', false, json::error_handler_t::replace))));
    return {};
  }
  const auto& items = document["items"];
  if (!items.is_array()) return refuse(EINVAL, "items: must be a list");
  for (std::size_t i = 0; i < items.size(); ++i) {
    TRY(add_objects(items[i], objects).context("items[" + std::to_string(i) + "]"));
  }
  return {};
}

}  // namespace

Result<std::vector<Object>> parse_manifest(const std::string& text, const std::string& file_name) {
  const auto place = [&](std::size_t document) { return file_name + ": document " + std::to_string(document); };
  std::vector<Object> objects;
  try {
    const auto documents = YAML::LoadAll(text);
    for (std::size_t i = 0; i < documents.size(); ++i) {
      const json document = TRY(Converter().convert(documents[i]).context(place(i + 1)));
      TRY(add_objects(document, objects).context(place(i + 1)));
    }
  } catch (const YAML::Exception& error) {
    const auto document = static_cast<std::size_t>(document_at(text, error.mark.line));
    return refuse(EINVAL, place(document) + ": line " + std::to_string(error.mark.line + 1) + ": " + error.msg);
  }
  return objects;
}

Result<std::vector<Object>> read_manifest(const std::filesystem::path& file) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) return fail(EISDIR, "read " + file.string());
  errno = 0;
  std::ifstream stream(file);
  if (!stream) return fail(errno != 0 ? errno : EIO, "read " + file.string());
  std::stringstream text;
  text << stream.rdbuf();
  if (stream.bad()) return fail(EIO, "read " + file.string());
  return parse_manifest(text.str(), file.string());
}

}  // namespace sluice::loader::kube
