#include "loader/kube/last_good.hpp"

#include <cstdint>
#include <fstream>
#include <iterator>
#include <string_view>

namespace sluice::loader::kube {
namespace {

namespace fs = std::filesystem;

/// FNV-1a of 64 bits (RFC 9923).
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3U;
  return hash;
}

std::string first_line(std::string_view text) {
  return "# last good version: " + std::to_string(text.size()) + " bytes, " + std::to_string(hash_of(text)) + "\n";
}

std::string content(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace

std::optional<std::string> LastGood::text(const std::string& name) const {
  const auto noted = noted_.find(name);
  if (noted != noted_.end()) return noted->second;
  const std::string kept = content(folder_ / name);
  const auto end = kept.find('\n');
  if (end == std::string::npos) return std::nullopt;
  std::string text = kept.substr(end + 1);
  if (kept.compare(0, end + 1, first_line(text)) != 0) return std::nullopt;
  return text;
}

void LastGood::write_down(const std::set<std::string>& present) {
  std::error_code ignored;
  fs::create_directories(folder_, ignored);
  for (const auto& [name, text] : noted_) {
    if (text)
      write(name, *text);
    else
      fs::remove(folder_ / name, ignored);
  }
  noted_.clear();
  if (tidied_) return;
  tidied_ = true;
  for (const auto& entry : fs::directory_iterator(folder_, ignored))
    if (!present.contains(entry.path().filename().string())) fs::remove(entry.path(), ignored);
}

/// Replaced whole, and left alone where it is the same.
void LastGood::write(const std::string& name, const std::string& text) const {
  const fs::path file = folder_ / name, next = folder_ / ("." + name + ".new");
  const std::string wanted = first_line(text) + text;
  if (content(file) == wanted) return;
  std::error_code ignored;
  std::ofstream stream(next, std::ios::binary | std::ios::trunc);
  stream << wanted;
  stream.close();
  if (stream) fs::rename(next, file, ignored);
  if (!stream || ignored) fs::remove(next, ignored);
}

}  // namespace sluice::loader::kube
