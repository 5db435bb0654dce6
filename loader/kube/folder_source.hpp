/// A folder of manifests, watched by inotify(7): the source of a node without an API server.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "loader/kube/last_good.hpp"
#include "loader/kube/source.hpp"
#include "maps/fd.hpp"

namespace sluice::loader::kube {

/// The files *.yaml, *.yml and *.json in the folder itself; names that begin with a dot are not looked at.
///
/// A file counts once it is closed after writing or renamed into place, so a file that is being written is not read
/// half; give several objects that must change together one file, or rename it into place. What one file changes is in
/// one batch. A version of a file with anything wrong changes nothing: the objects of its last good version stay, also
/// over a restart (LastGood). Where there is none, as for a new file, those of its objects that are good count. An
/// object that stands in several files counts as in that one whose name comes first, byte by byte; in one file twice is
/// an error. Kinds that Sluice has no use for are left out, and Object::json is empty.
///
/// The folder may come later, go, and come again; without it there are no objects. A rename of a folder above it is
/// seen at the next call of `take` only. Symbolic links count as what they point to, but only their own changes are
/// seen.
class FolderSource : public Source {
 public:
  /// `last_good`: where the good versions are kept.
  static Result<std::unique_ptr<FolderSource>> open(std::filesystem::path folder, std::filesystem::path last_good);

  [[nodiscard]] int fd() const override { return inotify_.get(); }
  Result<Batch> take() override;
  void write_down() override;
  [[nodiscard]] std::vector<Problem> problems() const override;

 private:
  /// Tells whether a file is still the one that was read.
  struct Stamp {
    std::uint64_t device, inode;
    std::int64_t size, changed_ns;
    bool operator==(const Stamp&) const = default;
  };
  struct File {
    std::optional<Stamp> stamp;  ///< nullopt: it may have changed since
    std::vector<ObjectPtr> objects;
    std::vector<std::string> errors;
    bool good = false;  ///< `objects` are those of a version without errors
  };
  using Files = std::map<std::string, File>;

  /// One file's word on one object. The first of those with the same id is in force.
  struct Claim {
    const ObjectId* id;
    const std::string* file;
    ObjectPtr object;
    bool operator<(const Claim& other) const;
  };
  class Touched;

  FolderSource(std::filesystem::path folder, std::filesystem::path last_good, Fd inotify)
      : folder_(std::move(folder)), last_good_(std::move(last_good)), inotify_(std::move(inotify)) {}

  Result<void> watch();
  [[nodiscard]] bool watch_is_right() const;
  [[nodiscard]] bool next_is_there() const;
  Result<std::set<std::string>> changed_files();
  Result<void> scan(Touched& touched);
  void read(const std::string& name, bool even_if_same, Touched& touched);
  void forget(Files::iterator file, Touched& touched);
  void replace(Files::iterator file, std::vector<Object> objects, Touched& touched);
  [[nodiscard]] ObjectPtr in_force(const ObjectId& id) const;

  std::filesystem::path folder_;
  LastGood last_good_;
  Fd inotify_;
  int watch_ = -1;  ///< of the folder, or while there is none of the deepest folder above it
  std::filesystem::path watched_;
  std::optional<Stamp> watched_stamp_;
  bool scan_ = true;  ///< events may have been missed
  Files files_;
  std::set<Claim> claims_;
  std::set<ObjectId> contested_;  ///< with more than one claim
};

}  // namespace sluice::loader::kube
