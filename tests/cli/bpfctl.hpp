/// bpfctl on node-1 of a lab with the pods client and web, and traffic for it to show.
#pragma once

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/e2e/cluster.hpp"
#include "tests/e2e/socket.hpp"

namespace sluice::e2e {

class Bpfctl {
 public:
  Cluster cluster;
  Place client = cluster.pod("client");
  Place web = cluster.pod("web");

  [[nodiscard]] Outcome run(const Command& words) const;
  /// Its output with -o json; the test fails unless it ends well.
  [[nodiscard]] nlohmann::json json(Command words) const;
  /// The command that runs it as a process of its own.
  [[nodiscard]] Command command(const Command& words) const;

  /// A datagram from client to web's `port`; from there on there is a flow.
  void send_udp(bool v4, std::uint16_t port) const;
  /// A connection of client to web that both ends have closed.
  void open_and_close_tcp(bool v4) const;
  /// The datapath drops one packet of client: its TTL is too small.
  void lose_packet() const;
  /// True when so many observers are there and get events.
  [[nodiscard]] bool observers_are(std::size_t number) const;
};

}  // namespace sluice::e2e
