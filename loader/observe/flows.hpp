/// The connections that the datapath knows, as values.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "loader/config.hpp"
#include "loader/root.hpp"
#include "maps/address.hpp"
#include "maps/flow.h"
#include "maps/result.hpp"

namespace sluice::loader::observe {

struct FlowEnd {
  Address address;
  std::uint16_t port = 0;  ///< ICMP echo: the identifier, at both ends; 0: the protocol has none
};

/// What has gone one way, and how.
struct FlowDirection {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;  ///< from the IP header on
  maps::flow_delivery delivery = maps::FLOW_UNDECIDED;
  int egress_ifindex = 0;  ///< 0: whatever the host's stack chooses
  int mtu = 0;             ///< of the way out; 0: the host's stack looks after it
  std::uint8_t tcp_flags = 0;
  bool current = false;  ///< false: decided anew before its next packet moves
};

struct Flow {
  std::uint8_t proto = 0;  ///< IPPROTO_*
  enum maps::flow_state state = maps::FLOW_OPENING;
  bool expired = false;  ///< past its time-out: the next packet opens a new one
  FlowEnd source;        ///< whose packet came first
  FlowEnd destination;
  std::optional<FlowEnd> backend;  ///< who is behind the translation, where there is one: of a Service its backend
  FlowEnd seen_as;                 ///< what the source is to the destination, or to the backend
  std::uint32_t service = 0;       ///< struct service.id, where the destination is a Service's
  FlowDirection sent;              ///< by the source
  FlowDirection received;          ///< by the source
  std::chrono::nanoseconds age{0};
  std::chrono::nanoseconds idle{0};  ///< to within a second: the datapath writes no oftener
};

/// A flow must pass all that is set.
struct FlowFilter {
  std::optional<Prefix> address;      ///< of either end
  std::vector<Address> pod;           ///< one of these is at either end; empty: any
  std::optional<std::uint16_t> port;  ///< of either end
  std::optional<std::uint8_t> proto;
  std::optional<enum maps::flow_state> state;
  bool live = true;      ///< those that have not expired
  bool expired = false;  ///< those that have

  [[nodiscard]] bool passes(const Flow& flow) const;
};

/// In no order. Time-outs are the configured ones. ENOENT: no datapath is loaded.
Result<std::vector<Flow>> flows(const Root& root, const FlowFilter& filter, const Timeouts& timeouts);

/// One entry of the map in the form above. `now_ns`: CLOCK_MONOTONIC. `epoch`: the one in force.
Flow to_flow(const maps::flow_key& key, const maps::flow_entry& entry, std::uint64_t now_ns, std::uint32_t epoch,
             const Timeouts& timeouts);

/// CLOCK_MONOTONIC, which the datapath's times are of.
std::uint64_t monotonic_ns();

}  // namespace sluice::loader::observe
