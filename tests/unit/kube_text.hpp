/// Kubernetes objects written in a test, with one thing or another changed in them.
#pragma once

#include <doctest/doctest.h>

#include <cerrno>
#include <string>

#include "loader/kube/manifest.hpp"
#include "tests/unit/net_lab.hpp"

namespace sluice::tests {

inline std::string with(std::string text, const std::string& old_words, const std::string& new_words) {
  const auto at = text.find(old_words);
  REQUIRE_MESSAGE(at != std::string::npos, "\"" << old_words << "\" is not there to be replaced");
  return text.replace(at, old_words.size(), new_words);
}

inline loader::kube::Object only(const std::string& text) {
  const auto objects = must(loader::kube::parse_manifest(text, "f"));
  REQUIRE(objects.size() == 1);
  return objects[0];
}

template <typename T>
T only_body(const std::string& text) {
  return std::get<T>(only(text).body);
}

/// The message that `text` is refused with, without "f: document 1: " before it.
inline std::string refusal(const std::string& text) {
  const auto parsed = loader::kube::parse_manifest(text, "f");
  if (parsed) return "taken";
  CHECK(parsed.error().code == EINVAL);
  const std::string place = "f: document 1: ";
  const auto& words = parsed.error().message;
  return words.starts_with(place) ? words.substr(place.size()) : words;
}

/// One row of a table of objects that are refused: `base` with a change, and how the message starts.
struct Refused {
  const char* base;
  const char* old_words;
  const char* new_words;
  const char* want;
};

template <std::size_t N>
void check_refused(const Refused (&rows)[N]) {
  for (const auto& row : rows) {
    CAPTURE(std::string(row.new_words));
    const auto words = refusal(with(row.base, row.old_words, row.new_words));
    CHECK_MESSAGE(words.starts_with(row.want), words);
  }
}

}  // namespace sluice::tests
