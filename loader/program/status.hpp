/// What of the datapath is loaded and where it hangs: for people who look.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "loader/config.hpp"
#include "loader/root.hpp"
#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

/// One hook of one interface, or of sockets, that has a program of ours.
struct Attachment {
  int ifindex = 0;
  std::string place;  ///< the interface's name, or the path of the control group, "?" where its path is not known
  std::string hook;   ///< "ingress", "egress" or "xdp", "connect4" and its like
  std::string mode;   ///< "clsact", "tcx" or "cgroup"; of XDP "native" or "generic"
  std::uint32_t program_id = 0;
};

struct ProgramStatus {
  std::string name;  ///< of the function
  std::uint32_t id = 0;
  std::string tag;                 ///< the kernel's hash of its instructions
  std::uint64_t loaded_ns = 0;     ///< CLOCK_BOOTTIME
  std::uint32_t instructions = 0;  ///< BPF instructions as they run
  std::uint32_t jited_bytes = 0;
  std::uint64_t run_count = 0;  ///< these two count only while run statistics are on
  std::uint64_t run_ns = 0;
  std::vector<Attachment> attachments;
};

struct MapStatus {
  std::string name;
  std::uint32_t id = 0;
  std::string type;  ///< as the kernel's documentation writes it, e.g. "lru_hash"
  std::uint32_t key_bytes = 0, value_bytes = 0, capacity = 0;
  std::uint64_t memory_bytes = 0;  ///< as the kernel accounts it
};

/// The programs in force (those for XDP and sockets where the configuration asks for them), with the hooks of the
/// calling thread's network namespace. ENOENT: nothing is loaded. A program of an unfinished upgrade that still hangs
/// somewhere is listed by itself.
Result<std::vector<ProgramStatus>> program_status(const Root& root);
/// The pinned maps. ENOENT: nothing is loaded.
Result<std::vector<MapStatus>> map_status(const Root& root);

/// Run statistics are on, in the whole kernel, as long as this is held. They cost each run of a program some 20 ns.
Result<Fd> enable_run_stats();

}  // namespace sluice::loader::program
