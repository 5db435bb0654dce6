/// The last good version of each manifest on disk, so that it outlives the process: an agent that starts over a file
/// that has been broken meanwhile goes on with what was in force, instead of without it.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace sluice::loader::kube {

/// One copy a file, under the same name, with a first line that tells a whole one from a torn one. What cannot be
/// written or read is as if it were not kept. Holds little in memory: a text that is kept already is let go, and many
/// new ones are not held until `write_down`.
class LastGood {
 public:
  explicit LastGood(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// The kept version of a file. nullopt: none, or not a whole one.
  [[nodiscard]] std::optional<std::string> text(const std::string& name) const;
  /// To be written by `write_down`; nullopt: the file is gone.
  void note(const std::string& name, std::optional<std::string> text);
  /// Writes what was noted. `present`: all files that there are; other copies go the first time.
  void write_down(const std::set<std::string>& present);

 private:
  [[nodiscard]] bool keeps(const std::string& name, const std::string& text) const;
  void write(const std::string& name, const std::string& text) const;
  void write_noted();

  std::filesystem::path folder_;
  std::map<std::string, std::optional<std::string>> noted_;
  std::size_t noted_bytes_ = 0;
  bool tidied_ = false;
};

}  // namespace sluice::loader::kube
