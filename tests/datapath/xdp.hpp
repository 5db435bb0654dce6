/// xdp_uplink beside the programs of a node, with which it shares their maps, run on frames by BPF_PROG_TEST_RUN.
#pragma once

#include <cstdint>
#include <string>

#include "tests/datapath/datapath.hpp"

struct xdp_bpf;

namespace sluice::test {

/// What became of a frame.
struct XdpOutcome {
  std::uint32_t action = 0;  ///< XDP_*
  Bytes got;
};

class XdpUplink {
 public:
  /// With the node's settings, at the interface of `uplink`, on which it hangs natively as long as this lives: a test
  /// run wants that.
  XdpUplink(const Datapath& node, const std::string& uplink);
  XdpUplink(const XdpUplink&) = delete;
  XdpUplink& operator=(const XdpUplink&) = delete;
  ~XdpUplink();

  [[nodiscard]] XdpOutcome run(const Bytes& frame) const;
  /// A packet in a frame from a router.
  [[nodiscard]] XdpOutcome run(const Packet& packet) const;
  /// Its descriptor.
  [[nodiscard]] int program() const;
  /// What it does with the frame, counted. Nothing comes of it.
  [[nodiscard]] Path path(const Bytes& frame) const;

 private:
  xdp_bpf* skeleton_;
  std::uint32_t ifindex_;
  int link_ = -1;
};

}  // namespace sluice::test
