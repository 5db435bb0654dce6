/// Runs the loaded programs on a packet without leaving a trace in the datapath: BPF_PROG_TEST_RUN of a second instance
/// of them, which no interface has.
///
/// The instance has the same instructions (the kernel's tags are compared), the constants of the loaded program but for
/// `cfg_trace`, which keeps the slow path from writing what it has decided, and the tables that decisions are made by.
/// What programs only write (counts, events, fragments, work space) it has for itself, and the words that steer it too:
/// nobody observes it, and its epoch is that of no flow, so that a known connection is decided anew, on the slow path.
/// That the kernel's LRU takes a flow which was looked at for used is all that is left of it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "maps/decision.h"
#include "maps/drop_reason.h"
#include "maps/fd.hpp"
#include "maps/metrics.h"
#include "maps/result.hpp"

namespace sluice::loader::program {

struct Traced {
  std::int32_t action = 0;                     ///< TC_ACT_*
  maps::drop_reason reason = maps::DROP_NONE;  ///< what the packet was counted under
  bool answered = false;                       ///< ARP or neighbour discovery: the packet has become the answer
  maps::decision decision{};                   ///< as far as it came; all zero: the packet was refused before any
  std::vector<std::uint8_t> frame;             ///< what the program has made of it
};

class Tracer {
 public:
  /// Of the loaded program of `hook`. EPROTO: it is of another build than this binary.
  static Result<Tracer> load(maps::hook hook, const Fd& program);

  Tracer(Tracer&&) noexcept;
  Tracer& operator=(Tracer&&) noexcept;
  ~Tracer();

  /// `frame` as it is seen at interface `ifindex` of the calling thread's network namespace. ENODEV: it is not there.
  Result<Traced> run(const std::vector<std::uint8_t>& frame, int ifindex);

 private:
  struct Instance;
  explicit Tracer(std::unique_ptr<Instance> instance);

  std::unique_ptr<Instance> instance_;
};

}  // namespace sluice::loader::program
