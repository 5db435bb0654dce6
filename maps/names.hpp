/// The numbers of the layouts in words, for people, labels and JSON. A number that this build does not know, since
/// newer programs wrote it, becomes text too ("REASON_33").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "maps/flow.h"
#include "maps/metrics.h"
#include "maps/observer.h"
#include "maps/policy.h"
#include "maps/service.h"

namespace sluice::maps {

/// As in maps/drop_reason.h: "SOURCE_SPOOFED"; "FORWARDED" for DROP_NONE.
std::string drop_reason_name(std::uint32_t reason);
std::string drop_reason_text(std::uint32_t reason);
/// Case does not matter. nullopt: there is no such reason.
std::optional<drop_reason> drop_reason_of(std::string_view name);
/// All names, in the order of their numbers, without "FORWARDED".
std::vector<std::string> drop_reason_names();

/// "from_pod"
std::string hook_name(std::uint32_t hook);
std::string hook_text(std::uint32_t hook);

struct CounterWords {
  counter number;
  std::string_view name;  ///< "flow_insert_failed"
  std::string_view text;
};
/// All counters of maps/metrics.h.
const std::vector<CounterWords>& counter_words();

/// "opening", "established", "closing", "closed"
std::string flow_state_name(enum flow_state state);
/// "peer", "device", "stack", "tunnel", "undecided"
std::string flow_delivery_name(std::uint32_t delivery);
/// "serving", "ending", "gone"
std::string backend_state_name(std::uint32_t state);
/// "allow", "deny", "pass", "none"
std::string policy_verdict_name(std::uint32_t verdict);
/// "admin tier", "NetworkPolicy", "baseline tier"
std::string policy_tier_name(std::uint32_t tier);
/// "new", "closed", "dropped", "packet", "audited"
std::string event_type_name(std::uint32_t type);
std::optional<event_type> event_type_of(std::string_view name);

/// "tcp", "udp", "icmp", "icmpv6", "sctp", else the number.
std::string protocol_name(std::uint8_t protocol);
/// A name as above in any case, or a number from 1 to 255.
std::optional<std::uint8_t> protocol_of(std::string_view name);

/// The TCP flags' letters, e.g. "SA"; "-" for none.
std::string tcp_flags_text(std::uint8_t flags);
/// nullopt: another letter is among them.
std::optional<std::uint8_t> tcp_flags_of(std::string_view letters);

}  // namespace sluice::maps
