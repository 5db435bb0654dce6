/// A result that is printed as an aligned table or as JSON, from one description: what the table shows, JSON has too.
#pragma once

#include <fmt/core.h>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace sluice::cli {

using Json = nlohmann::ordered_json;  // fields in the order of the columns

enum class Format { kTable, kWide, kJson, kPrometheus };

enum class Show {
  kAlways,
  kWide,  ///< in the table with -o wide only
  kJson,  ///< in JSON only: a part of what another column shows
};

struct Column {
  std::string key;      ///< in JSON, with the unit ("idleSeconds")
  std::string heading;  ///< in the table
  Show show = Show::kAlways;
};

/// One value: as text, and as JSON. An empty text is shown as "-".
struct Cell {
  std::string text;
  Json value;

  Cell(std::string words) : text(std::move(words)), value(text) {}  // NOLINT(google-explicit-constructor)
  Cell(const char* words) : Cell(std::string(words)) {}             // NOLINT(google-explicit-constructor)
  Cell(std::integral auto number)
      : text(fmt::format("{}", number)), value(number) {}   // NOLINT(google-explicit-constructor)
  Cell(bool yes) : text(yes ? "yes" : "no"), value(yes) {}  // NOLINT(google-explicit-constructor)
  Cell(std::string words, Json json) : text(std::move(words)), value(std::move(json)) {}

  [[nodiscard]] bool is_number() const { return value.is_number(); }
};

/// No value: "-" in a table, null in JSON.
Cell nothing();
Cell bytes(std::uint64_t number);
/// In JSON as seconds, with a fraction.
Cell duration(std::chrono::nanoseconds duration);
/// Empty: nothing.
Cell name(const std::string& text);

class Listing {
 public:
  explicit Listing(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// One cell for each column.
  void add(std::vector<Cell> row);
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  /// Rows in the order of their texts in these columns, numbers as numbers.
  void sort(const std::vector<std::string>& keys);

  [[nodiscard]] Json json() const;
  /// Aligned, with headings; numbers to the right. Empty: only the headings.
  [[nodiscard]] std::string table(Format format, const std::string& indent = {}) const;
  /// To standard output.
  void print(Format format) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

/// Rows that come one at a time, printed at once: columns are as wide as the widest value so far.
class Lines {
 public:
  /// `widths` to start with, of the columns that a table shows.
  Lines(std::vector<Column> columns, std::vector<std::size_t> widths)
      : columns_(std::move(columns)), widths_(std::move(widths)) {}

  std::string heading();
  std::string line(const std::vector<Cell>& row);
  [[nodiscard]] Json json(const std::vector<Cell>& row) const;

 private:
  std::string words(const std::function<std::string(std::size_t)>& word);

  std::vector<Column> columns_;
  std::vector<std::size_t> widths_;
};

/// One thing as "heading  value" lines, or as a JSON object.
class Details {
 public:
  void add(const Column& column, Cell cell);
  [[nodiscard]] Json json() const;
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::pair<Column, Cell>> lines_;
};

/// JSON to standard output, indented; bytes that are no UTF-8 are replaced.
void print_json(const Json& json);

}  // namespace sluice::cli
