#include "loader/agent/whole_file.hpp"

#include <spdlog/spdlog.h>

#include <fstream>

namespace sluice::loader::agent {

void write_whole_file(const std::filesystem::path& file, const std::string& text) {
  const std::filesystem::path next = file.string() + ".new";
  std::ofstream stream(next, std::ios::trunc);
  stream << text;
  stream.close();
  std::error_code error = stream ? std::error_code() : std::make_error_code(std::errc::io_error);
  if (!error) std::filesystem::rename(next, file, error);
  if (error) spdlog::warn("msg=\"write {}: {}\"", file.string(), error.message());
}

}  // namespace sluice::loader::agent
