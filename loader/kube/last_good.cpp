#include "loader/kube/last_good.hpp"

#include <cstdint>
#include <fstream>
#include <iterator>
#include <string_view>

namespace sluice::loader::kube {
namespace {

namespace fs = std::filesystem;

/// So many bytes of texts wait for `write_down`.
constexpr std::size_t kMostNoted = 1 << 20;

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

/// Whether the copy is of this text, as far as its first line and its length tell.
bool LastGood::keeps(const std::string& name, const std::string& text) const {
  const std::string wanted = first_line(text);
  std::string line(wanted.size(), '\0');
  std::error_code error;
  if (fs::file_size(folder_ / name, error) != wanted.size() + text.size() || error) return false;
  std::ifstream(folder_ / name, std::ios::binary).read(line.data(), static_cast<std::streamsize>(line.size()));
  return line == wanted;
}

void LastGood::note(const std::string& name, std::optional<std::string> text) {
  if (text && keeps(name, *text)) {
    noted_.erase(name);
    return;
  }
  if (text) noted_bytes_ += text->size();
  noted_[name] = std::move(text);
  if (noted_bytes_ > kMostNoted) write_noted();
}

void LastGood::write_noted() {
  std::error_code ignored;
  fs::create_directories(folder_, ignored);
  for (const auto& [name, text] : noted_) {
    if (text)
      write(name, *text);
    else
      fs::remove(folder_ / name, ignored);
  }
  noted_.clear();
  noted_bytes_ = 0;
}

void LastGood::write_down(const std::set<std::string>& present) {
  write_noted();
  if (tidied_) return;
  tidied_ = true;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder_, ignored))
    if (!present.contains(entry.path().filename().string())) fs::remove(entry.path(), ignored);
}

/// Replaced whole.
void LastGood::write(const std::string& name, const std::string& text) const {
  const fs::path file = folder_ / name, next = folder_ / ("." + name + ".new");
  std::error_code ignored;
  std::ofstream stream(next, std::ios::binary | std::ios::trunc);
  stream << first_line(text) << text;
  stream.close();
  if (stream) fs::rename(next, file, ignored);
  if (!stream || ignored) fs::remove(next, ignored);
}

}  // namespace sluice::loader::kube
