/// Who holds which observer slot (maps/observer.h): a lock on the slot's file under <run>/observers, which the kernel
/// lets go when its holder dies, however it dies.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "loader/root.hpp"
#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::loader::observe {

/// What a slot's file says of the process that wrote it last.
struct SlotHolder {
  pid_t pid = 0;
  std::string command;
};

/// A slot that is this process's as long as the object lives.
class Slot {
 public:
  /// The first slot that nobody holds. EBUSY: all are held.
  static Result<Slot> take(const Root& root);
  [[nodiscard]] unsigned number() const { return number_; }

 private:
  Slot(Fd file, unsigned number) : file_(std::move(file)), number_(number) {}

  Fd file_;
  unsigned number_;
};

/// Who holds the slot now; asking takes it from nobody. nullopt: nobody does.
Result<std::optional<SlotHolder>> slot_holder(const Root& root, unsigned number);

}  // namespace sluice::loader::observe
