/// Tells when pods are attached to this node or taken off it: the plugin's records change
/// (loader/state/attachment.hpp).
#pragma once

#include "loader/root.hpp"
#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::loader::agent {

class AttachmentWatch {
 public:
  static Result<AttachmentWatch> open(const Root& root);

  /// Readable when something has changed.
  [[nodiscard]] int fd() const { return inotify_.get(); }
  /// Forgets what has been told. Does not wait.
  void drain() const;

 private:
  explicit AttachmentWatch(Fd inotify) : inotify_(std::move(inotify)) {}

  Fd inotify_;
};

}  // namespace sluice::loader::agent
