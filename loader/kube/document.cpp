#include "loader/kube/document.hpp"

#include <yaml.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::loader::kube {

namespace {

using nlohmann::json;

constexpr int kMaxDepth = 100;
constexpr int kMaxValues = 1'000'000;

/// Puts one document together, value by value. Each step gives what is wrong with it; empty: nothing.
class Builder {
 public:
  std::string open(json container, std::string anchor = {}) {
    if (open_.size() >= kMaxDepth) return "is nested too deeply";
    if (auto wrong = count(1); !wrong.empty()) return wrong;
    if (auto wrong = key_expected(); !wrong.empty()) return wrong;
    json* const place = put(std::move(container));
    open_.push_back({place, {}, false, std::move(anchor), values_ - 1});
    return {};
  }

  void close() {
    const Open ended = std::move(open_.back());
    open_.pop_back();
    if (!ended.anchor.empty()) anchors_[ended.anchor] = {*ended.container, values_ - ended.first_value};
  }

  std::string key(std::string name) {
    auto& inner = open_.back();
    if (inner.container->contains(name)) return "has " + name + " twice";
    inner.key = std::move(name);
    inner.has_key = true;
    return {};
  }

  std::string value(json value, const std::string& anchor = {}) {
    if (auto wrong = count(1); !wrong.empty()) return wrong;
    if (auto wrong = key_expected(); !wrong.empty()) return wrong;
    const json* const place = put(std::move(value));
    if (!anchor.empty()) anchors_[anchor] = {*place, 1};
    return {};
  }

  std::string alias(const std::string& anchor) {
    const auto known = anchors_.find(anchor);
    if (known == anchors_.end()) return "has an alias *" + anchor + " before its anchor";
    if (auto wrong = count(known->second.values); !wrong.empty()) return wrong;
    if (auto wrong = key_expected(); !wrong.empty()) return wrong;
    put(known->second.value);
    return {};
  }

  /// Whether a scalar that comes now is a key.
  [[nodiscard]] bool at_key() const {
    return !open_.empty() && open_.back().container->is_object() && !open_.back().has_key;
  }

  /// The document; the next one starts from nothing.
  json take() {
    json done = std::move(document_);
    *this = {};
    return done;
  }

 private:
  struct Open {
    json* container;
    std::string key;  ///< of an object's member that comes next
    bool has_key;
    std::string anchor;
    int first_value;  ///< the number of values before it
  };
  struct Anchored {
    json value;
    int values;  ///< that it consists of
  };

  std::string count(int values) {
    values_ += values;
    return values_ > kMaxValues ? "unfolds to too many values" : "";
  }

  [[nodiscard]] std::string key_expected() const { return at_key() ? "has a key that is not a word" : ""; }

  json* put(json value) {
    if (open_.empty()) return &(document_ = std::move(value));
    auto& inner = open_.back();
    if (inner.container->is_array()) return &inner.container->emplace_back(std::move(value));
    inner.has_key = false;
    json& member = (*inner.container)[inner.key];
    member = std::move(value);
    return &member;
  }

  json document_;
  std::vector<Open> open_;
  std::map<std::string, Anchored> anchors_;
  int values_ = 0;
};

json plain_scalar(std::string_view text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  std::int64_t integer = 0;
  if (auto [at, error] = std::from_chars(begin, end, integer); error == std::errc() && at == end) return integer;
  double number = 0;
  if (auto [at, error] = std::from_chars(begin, end, number);
      error == std::errc() && at == end && std::isfinite(number)) {
    return number;
  }
  return std::string(text);
}

std::string text_of(const yaml_char_t* text) { return text == nullptr ? "" : reinterpret_cast<const char*>(text); }

class YamlReader {
 public:
  explicit YamlReader(const std::string& text) : text_(text) {
    if (yaml_parser_initialize(&parser_) == 0) throw std::bad_alloc();
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
  }
  YamlReader(const YamlReader&) = delete;
  YamlReader& operator=(const YamlReader&) = delete;
  ~YamlReader() { yaml_parser_delete(&parser_); }

  Result<void> read(const TakeDocument& take) {
    for (;;) {
      yaml_event_t event;
      if (yaml_parser_parse(&parser_, &event) == 0) return malformed();
      const auto type = event.type;
      const auto line = event.start_mark.line;
      const std::string wrong = step(event);
      yaml_event_delete(&event);
      if (!wrong.empty()) return at(line, wrong);
      if (type == YAML_STREAM_END_EVENT) return {};
      if (type == YAML_DOCUMENT_END_EVENT) take(document_, builder_.take());
    }
  }

 private:
  std::string step(const yaml_event_t& event) {
    switch (event.type) {
      case YAML_DOCUMENT_START_EVENT:
        ++document_;
        return {};
      case YAML_MAPPING_START_EVENT:
        return builder_.open(json::object(), text_of(event.data.mapping_start.anchor));
      case YAML_SEQUENCE_START_EVENT:
        return builder_.open(json::array(), text_of(event.data.sequence_start.anchor));
      case YAML_MAPPING_END_EVENT:
      case YAML_SEQUENCE_END_EVENT:
        builder_.close();
        return {};
      case YAML_ALIAS_EVENT:
        return builder_.alias(text_of(event.data.alias.anchor));
      case YAML_SCALAR_EVENT:
        return scalar(event.data.scalar);
      default:
        return {};
    }
  }

  template <typename Scalar>
  std::string scalar(const Scalar& scalar) {
    const std::string_view text(reinterpret_cast<const char*>(scalar.value), scalar.length);
    if (builder_.at_key()) return builder_.key(std::string(text));
    const bool word = scalar.style != YAML_PLAIN_SCALAR_STYLE || text_of(scalar.tag) == YAML_STR_TAG;
    return builder_.value(word ? json(std::string(text)) : plain_scalar(text), text_of(scalar.anchor));
  }

  [[nodiscard]] Error at(std::size_t line, const std::string& what) const {
    return refuse(EINVAL, "document " + std::to_string(std::max(document_, 1)) + ": line " + std::to_string(line + 1) +
                              ": " + what);
  }

  /// What the parser says of itself. Of bytes that are not UTF-8 it gives the offset alone.
  [[nodiscard]] Error malformed() const {
    const std::string what = parser_.problem == nullptr ? "is not YAML" : parser_.problem;
    if (parser_.error != YAML_READER_ERROR) return at(parser_.problem_mark.line, what);
    const auto end = text_.begin() + static_cast<std::ptrdiff_t>(std::min(parser_.problem_offset, text_.size()));
    return at(static_cast<std::size_t>(std::count(text_.begin(), end, '\n')), what);
  }

  const std::string& text_;
  yaml_parser_t parser_;
  Builder builder_;
  int document_ = 0;
};

/// What nlohmann's parser calls; false ends it.
class JsonReader : public nlohmann::json_sax<json> {
 public:
  bool null() override { return good(builder_.value(nullptr)); }
  bool boolean(bool value) override { return good(builder_.value(value)); }
  bool number_integer(number_integer_t value) override { return good(builder_.value(value)); }
  bool number_unsigned(number_unsigned_t value) override { return good(builder_.value(value)); }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return good(builder_.value(value)); }
  bool string(string_t& value) override { return good(builder_.value(std::move(value))); }
  bool binary(binary_t& /*value*/) override { return false; }
  bool start_object(std::size_t /*size*/) override { return good(builder_.open(json::object())); }
  bool start_array(std::size_t /*size*/) override { return good(builder_.open(json::array())); }
  bool key(string_t& name) override { return good(builder_.key(std::move(name))); }
  bool end_object() override { return builder_.close(), true; }
  bool end_array() override { return builder_.close(), true; }
  bool parse_error(std::size_t /*at*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*e*/) override {
    return false;
  }

  json take() { return builder_.take(); }

 private:
  static bool good(const std::string& wrong) { return wrong.empty(); }

  Builder builder_;
};

}  // namespace

Result<void> read_documents(const std::string& text, const TakeDocument& take) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '{') {
    JsonReader reader;
    if (json::sax_parse(text, &reader)) {
      take(1, reader.take());
      return {};
    }
    // Not JSON, or wrong: YAML's flow mappings begin alike, and its reader tells the line.
  }
  return YamlReader(text).read(take);
}

}  // namespace sluice::loader::kube
