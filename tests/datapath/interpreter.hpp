/// Counts what a program does with one packet: which instructions it runs, which helpers it calls, which maps it looks
/// into. The program is the one that was loaded, instruction by instruction as libbpf gave it to the kernel; the maps
/// are read from the kernel, and what the program writes into them stays here.
///
/// It is for counting. That a program does the right thing is shown by the kernel's own run of it (datapath.hpp).
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "tests/datapath/packet.hpp"

struct bpf_object;

namespace sluice::test {

struct Path {
  std::uint32_t action = 0;                 ///< what the program returned
  std::uint64_t instructions = 0;           ///< of BPF, all functions together; a 64-bit constant is one
  std::map<std::string, unsigned> lookups;  ///< by map
  std::map<std::string, unsigned> updates;  ///< by map
  std::map<std::string, unsigned> helpers;  ///< calls of any other helper, by its name

  /// Calls of helpers, those of maps among them.
  [[nodiscard]] unsigned calls() const;
};

/// The MAC addresses that the kernel's routes give a packet, whatever is asked for. The way out is the way in.
struct NextHop {
  Mac to, from;
};

/// The way that `frame`, seen at interface `ifindex`, takes through program `name` of a loaded object. Throws where the
/// program does what the interpreter does not know: a helper (see call_helper), or an instruction.
Path interpret(const bpf_object& object, const char* name, const Bytes& frame, std::uint32_t ifindex,
               const NextHop& next_hop = {});

}  // namespace sluice::test
