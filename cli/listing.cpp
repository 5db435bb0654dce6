#include "cli/listing.hpp"

#include <algorithm>

#include "cli/text.hpp"

namespace sluice::cli {

namespace {

constexpr std::size_t kGap = 2;

std::string shown(const Cell& cell) { return cell.text.empty() ? "-" : cell.text; }

/// Characters, not bytes: UTF-8's continuation bytes take no place.
std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](unsigned char c) { return (c & 0xc0) != 0x80; }));
}

std::string padded(const std::string& text, std::size_t size, bool right) {
  const std::string blanks(size - std::min(size, width(text)), ' ');
  return right ? blanks + text : text + blanks;
}

void end_line(std::string& text) {
  text.erase(text.find_last_not_of(' ') + 1);
  text += '\n';
}

Json row_json(const std::vector<Column>& columns, const std::vector<Cell>& row) {
  Json object = Json::object();
  for (std::size_t i = 0; i < columns.size(); i++) object[columns[i].key] = row[i].value;
  return object;
}

}  // namespace

Cell nothing() { return {"", nullptr}; }
Cell bytes(std::uint64_t number) { return {bytes_text(number), number}; }
Cell duration(std::chrono::nanoseconds duration) {
  return {duration_text(duration), std::chrono::duration<double>(duration).count()};
}
Cell name(const std::string& text) { return text.empty() ? nothing() : Cell(text); }

void Listing::add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }

void Listing::sort(const std::vector<std::string>& keys) {
  std::vector<std::size_t> order;
  for (const auto& key : keys)
    order.push_back(static_cast<std::size_t>(std::ranges::find(columns_, key, &Column::key) - columns_.begin()));
  std::ranges::stable_sort(rows_, [&](const auto& one, const auto& other) {
    for (const std::size_t i : order)
      if (one[i].value != other[i].value) return one[i].value < other[i].value;
    return false;
  });
}

Json Listing::json() const {
  Json all = Json::array();
  for (const auto& row : rows_) all.push_back(row_json(columns_, row));
  return all;
}

std::string Listing::table(Format format, const std::string& indent) const {
  struct Shape {
    std::size_t column, width;
    bool right;
  };
  std::vector<Shape> shapes;
  for (std::size_t i = 0; i < columns_.size(); i++) {
    const Column& column = columns_[i];
    if (column.show == Show::kJson || (column.show == Show::kWide && format != Format::kWide)) continue;
    Shape shape{i, width(column.heading), !rows_.empty()};
    for (const auto& row : rows_) {
      shape.width = std::max(shape.width, width(shown(row[i])));
      shape.right = shape.right && (row[i].is_number() || row[i].value.is_null());
    }
    shape.right = shape.right && std::ranges::any_of(rows_, [&](const auto& row) { return row[i].is_number(); });
    shapes.push_back(shape);
  }
  std::string text;
  const auto line = [&](auto cell) {
    text += indent;
    for (const Shape& shape : shapes)
      text += padded(cell(shape.column), shape.width, shape.right) + std::string(kGap, ' ');
    end_line(text);
  };
  line([&](std::size_t i) { return columns_[i].heading; });
  for (const auto& row : rows_) line([&](std::size_t i) { return shown(row[i]); });
  return text;
}

void Listing::print(Format format) const {
  if (format == Format::kJson) return print_json(json());
  fmt::print("{}", table(format));
}

std::string Lines::words(const std::function<std::string(std::size_t)>& word) {
  std::string text;
  std::size_t place = 0;
  for (std::size_t i = 0; i < columns_.size(); i++) {
    if (columns_[i].show != Show::kAlways) continue;
    if (place == widths_.size()) widths_.push_back(0);
    const std::string shown_word = word(i);
    widths_[place] = std::max(widths_[place], width(shown_word));
    text += padded(shown_word, widths_[place++] + kGap, false);
  }
  end_line(text);
  return text;
}

std::string Lines::heading() {
  return words([&](std::size_t i) { return columns_[i].heading; });
}

std::string Lines::line(const std::vector<Cell>& row) {
  return words([&](std::size_t i) { return shown(row[i]); });
}

Json Lines::json(const std::vector<Cell>& row) const { return row_json(columns_, row); }

void Details::add(const Column& column, Cell cell) { lines_.emplace_back(column, std::move(cell)); }

Json Details::json() const {
  Json object = Json::object();
  for (const auto& [column, cell] : lines_) object[column.key] = cell.value;
  return object;
}

std::string Details::text() const {
  std::size_t size = 0;
  for (const auto& [column, cell] : lines_)
    if (column.show != Show::kJson) size = std::max(size, width(column.heading));
  std::string text;
  for (const auto& [column, cell] : lines_) {
    if (column.show == Show::kJson) continue;
    text += padded(column.heading, size + kGap, false) + shown(cell);
    end_line(text);
  }
  return text;
}

void print_json(const Json& json) { fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace)); }

}  // namespace sluice::cli
