/// Files that the agent replaces while others read them.
#pragma once

#include <filesystem>
#include <string>

namespace sluice::loader::agent {

/// Whoever reads has the old text or the new one. That it cannot be written stops nothing: it is logged.
void write_whole_file(const std::filesystem::path& file, const std::string& text);

}  // namespace sluice::loader::agent
