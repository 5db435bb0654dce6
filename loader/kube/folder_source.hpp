/// A folder of manifests, watched: *.yaml, *.yml and *.json straight in it, without those whose names begin with a dot,
/// which editors write beside the real ones.
///
/// A file counts when it was closed after writing or renamed to its name, so a half-written one is not seen. One that
/// cannot be read or understood keeps its last good objects in force and is a problem until it is right or gone. An
/// object that stands in two files is taken from the one whose name sorts first. Kinds that Sluice has no use for are
/// left out, and Object::json is empty.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "loader/kube/source.hpp"
#include "maps/fd.hpp"

namespace sluice::loader::kube {

class FolderSource : public Source {
 public:
  /// Makes the folder where there is none, and again when it is taken away.
  static Result<std::unique_ptr<FolderSource>> open(const std::filesystem::path& folder);

  [[nodiscard]] int fd() const override { return inotify_.get(); }
  Result<Batch> take() override;

 private:
  struct Entry {
    ObjectPtr object;
    std::size_t hash = 0;  ///< of its JSON: what is the same is no change
  };
  using File = std::map<ObjectId, Entry>;

  FolderSource(std::filesystem::path folder, Fd inotify) : folder_(std::move(folder)), inotify_(std::move(inotify)) {}
  Result<void> watch();
  Result<std::set<std::string>> changed_files();
  Result<std::set<std::string>> all_files() const;
  void read(const std::string& name, Batch& batch, std::set<ObjectId>& touched);
  void announce(const std::set<ObjectId>& touched, Batch& batch);

  std::filesystem::path folder_;
  Fd inotify_;
  bool complete_ = false;                            ///< all files have been looked at since the watch began
  std::map<std::string, File> files_;                ///< by name
  std::map<ObjectId, std::set<std::string>> where_;  ///< in which files
  std::map<ObjectId, std::size_t> announced_;        ///< what the listener knows, by hash
};

}  // namespace sluice::loader::kube
