/// Where objects come from: a folder of manifests, or an API server. A source delivers all objects first and then what
/// changes, so that who listens always knows a whole state.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "loader/kube/object.hpp"
#include "maps/result.hpp"

namespace sluice::loader::kube {

using ObjectPtr = std::shared_ptr<const Object>;

struct Change {
  ObjectId id;
  ObjectPtr object;  ///< null: it is gone
};

/// What has come since the last one. Changes in one batch come together: nobody may act on a part of them.
struct Batch {
  std::vector<Change> changes;  ///< at most one for each id
  bool problems_changed = false;
};

/// Something that is wrong, and what is in force instead.
struct Problem {
  std::string place;    ///< a file's name
  std::string message;  ///< "document 2: Service shop/web: spec.ports[0].port: must be ..."
  auto operator<=>(const Problem&) const = default;
};

class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;

  /// Readable when `take` may have something to give. Owned by the source.
  [[nodiscard]] virtual int fd() const = 0;
  /// Does not wait. The first call gives every object. An error is of the source as a whole; later calls may succeed.
  virtual Result<Batch> take() = 0;
  /// Writes down what must outlive the process. Nothing waits for it.
  virtual void write_down() {}
  /// All that is wrong now, sorted.
  [[nodiscard]] virtual std::vector<Problem> problems() const = 0;
};

}  // namespace sluice::loader::kube
