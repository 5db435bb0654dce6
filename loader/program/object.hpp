/// The BPF objects that are embedded in this binary, with a node's configuration in them, loaded into the kernel.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "loader/config.hpp"
#include "loader/root.hpp"
#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

/// Programs that are loaded and not pinned yet. Maps are pinned by the load; those that are pinned already are taken
/// over.
class Object {
 public:
  /// EINVAL: the verifier refused a program, or a pinned map does not fit; the message has libbpf's last words.
  static Result<Object> load(const Root& root, const NodeConfig& config);

  Object(Object&&) noexcept;
  Object& operator=(Object&&) noexcept;
  ~Object();

  /// A descriptor of its own for kFromPod, kToPod, kFromOverlay, kFromUplink, kXdpUplink or one of kSocketPrograms.
  /// ENOENT: there is no such program, or the configuration does without.
  [[nodiscard]] Result<Fd> program(const std::string& name) const;
  /// What the configuration asked for and did not get, in sentences.
  [[nodiscard]] const std::vector<std::string>& warnings() const;

 private:
  struct Skeleton;
  explicit Object(std::unique_ptr<Skeleton> skeleton);

  std::unique_ptr<Skeleton> skeleton_;
};

/// Tells programs of one build and configuration from those of another: a hash, as text.
std::string object_identity(const NodeConfig& config);

/// Libbpf's messages go nowhere from now on, but the last warnings are kept: `libbpf_words` returns and forgets them.
void quiet_libbpf();
std::string libbpf_words();

}  // namespace sluice::loader::program
