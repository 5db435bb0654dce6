/// Half-done work undoes itself: what is given is run at the end of the scope unless `release` has marked success.
#pragma once

#include <utility>

namespace sluice::loader {

template <typename Work>
class [[nodiscard]] Undo {
 public:
  explicit Undo(Work work) : work_(std::move(work)) {}
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  ~Undo() {
    if (armed_) work_();
  }

  void release() { armed_ = false; }

 private:
  Work work_;
  bool armed_ = true;
};

}  // namespace sluice::loader
