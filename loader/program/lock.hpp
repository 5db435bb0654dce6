/// Who may change the datapath of a node at a time: programs one process alone (load, upgrade, remove), interfaces
/// many, and what stands in `endpoints` one alone.
#pragma once

#include "loader/root.hpp"
#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

/// Held as long as the object lives; a process that dies lets go of it. Waits for up to half a minute.
/// ETIMEDOUT: another process has held it for all that time.
class Lock {
 public:
  static Result<Lock> shared(const Root& root);
  static Result<Lock> exclusive(const Root& root);
  /// For whoever reads an element of `endpoints` and writes it again: the plugin writes where a pod is, the agent what
  /// its policy is. Held for as long as that takes.
  static Result<Lock> endpoints(const Root& root);
  /// For whoever reads the deny list and writes it, or the map that follows it.
  static Result<Lock> deny_list(const Root& root);
  /// For whoever gives out the numbers of host ports (maps/service.h) or takes them back.
  static Result<Lock> host_ports(const Root& root);

 private:
  explicit Lock(Fd file) : file_(std::move(file)) {}

  Fd file_;
};

}  // namespace sluice::loader::program
