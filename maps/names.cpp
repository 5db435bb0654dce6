#include "maps/names.hpp"

#include <netinet/in.h>
#include <strings.h>

#include <array>
#include <charconv>

namespace sluice::maps {

namespace {

struct Words {
  std::uint32_t number;
  std::string_view name;
  std::string_view text;
};

constexpr std::array kReasons = {Words{DROP_NONE, "FORWARDED", "went its way"},
#define X(number, name, text) Words{number, #name, text},
                                 SLUICE_DROP_REASONS(X)
#undef X
};

constexpr std::array kHooks = {
#define X(number, name, label, text) Words{number, label, text},
    SLUICE_HOOKS(X)
#undef X
};

constexpr std::array kEvents = {
    Words{EVENT_NEW, "new", ""},       Words{EVENT_CLOSED, "closed", ""},   Words{EVENT_DROPPED, "dropped", ""},
    Words{EVENT_PACKET, "packet", ""}, Words{EVENT_AUDITED, "audited", ""},
};

constexpr std::array kBackendStates = {
    Words{BACKEND_GONE, "gone", ""},
    Words{BACKEND_SERVING, "serving", ""},
    Words{BACKEND_ENDING, "ending", ""},
};

constexpr std::array kVerdicts = {
    Words{POLICY_NONE, "none", ""},
    Words{POLICY_ALLOW, "allow", ""},
    Words{POLICY_DENY, "deny", ""},
    Words{POLICY_PASS, "pass", ""},
};

constexpr std::array kTiers = {
    Words{POLICY_TIER_ADMIN, "admin tier", ""},
    Words{POLICY_TIER_NETWORK, "NetworkPolicy", ""},
    Words{POLICY_TIER_BASELINE, "baseline tier", ""},
};

constexpr std::string_view kTcpFlags = "FSRPAUEC";  // from the lowest bit up, RFC 9293, 3.1

constexpr std::array kProtocols = {
    Words{IPPROTO_TCP, "tcp", ""},       Words{IPPROTO_UDP, "udp", ""},   Words{IPPROTO_ICMP, "icmp", ""},
    Words{IPPROTO_ICMPV6, "icmpv6", ""}, Words{IPPROTO_SCTP, "sctp", ""},
};

bool same(std::string_view one, std::string_view other) {
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): the length is passed
  return one.size() == other.size() && strncasecmp(one.data(), other.data(), one.size()) == 0;
}

const Words* find(const auto& list, std::uint32_t number) {
  for (const Words& words : list)
    if (words.number == number) return &words;
  return nullptr;
}

const Words* find(const auto& list, std::string_view name) {
  for (const Words& words : list)
    if (same(words.name, name)) return &words;
  return nullptr;
}

std::string name_in(const auto& list, std::uint32_t number, const char* stem) {
  const Words* words = find(list, number);
  return words != nullptr ? std::string(words->name) : stem + std::to_string(number);
}

}  // namespace

std::string drop_reason_name(std::uint32_t reason) { return name_in(kReasons, reason, "REASON_"); }

std::string drop_reason_text(std::uint32_t reason) {
  const Words* words = find(kReasons, reason);
  return words != nullptr ? std::string(words->text) : "a reason that this version does not know";
}

std::optional<drop_reason> drop_reason_of(std::string_view name) {
  const Words* words = find(kReasons, name);
  if (words == nullptr || words->number == DROP_NONE) return std::nullopt;
  return static_cast<drop_reason>(words->number);
}

std::vector<std::string> drop_reason_names() {
  std::vector<std::string> names;
  for (const Words& words : kReasons)
    if (words.number != DROP_NONE) names.emplace_back(words.name);
  return names;
}

std::string hook_name(std::uint32_t hook) { return name_in(kHooks, hook, "hook_"); }

std::string hook_text(std::uint32_t hook) {
  const Words* words = find(kHooks, hook);
  return words != nullptr ? std::string(words->text) : "a hook that this version does not know";
}

const std::vector<CounterWords>& counter_words() {
  static const std::vector<CounterWords> all = {
#define X(number, name, label, text) {COUNTER_##name, label, text},
      SLUICE_COUNTERS(X)
#undef X
  };
  return all;
}

std::string flow_state_name(enum flow_state state) {
  switch (state) {
    case FLOW_OPENING:
      return "opening";
    case FLOW_ESTABLISHED:
      return "established";
    case FLOW_CLOSING:
      return "closing";
    case FLOW_CLOSED:
      return "closed";
  }
  return "state_" + std::to_string(state);
}

std::string flow_delivery_name(std::uint32_t delivery) {
  switch (delivery) {
    case FLOW_UNDECIDED:
      return "undecided";
    case FLOW_TO_PEER:
      return "peer";
    case FLOW_TO_DEVICE:
      return "device";
    case FLOW_TO_STACK:
      return "stack";
    case FLOW_TO_TUNNEL:
      return "tunnel";
    case FLOW_TO_UPLINK:
      return "uplink";
    default:
      return "delivery_" + std::to_string(delivery);
  }
}

std::string backend_state_name(std::uint32_t state) { return name_in(kBackendStates, state, "state_"); }
std::string policy_verdict_name(std::uint32_t verdict) { return name_in(kVerdicts, verdict, "verdict_"); }
std::string policy_tier_name(std::uint32_t tier) { return name_in(kTiers, tier, "tier_"); }

std::string event_type_name(std::uint32_t type) { return name_in(kEvents, type, "event_"); }

std::optional<event_type> event_type_of(std::string_view name) {
  const Words* words = find(kEvents, name);
  return words != nullptr ? std::optional(static_cast<event_type>(words->number)) : std::nullopt;
}

std::string protocol_name(std::uint8_t protocol) { return name_in(kProtocols, protocol, ""); }

std::optional<std::uint8_t> protocol_of(std::string_view name) {
  if (const Words* words = find(kProtocols, name)) return static_cast<std::uint8_t>(words->number);
  std::uint8_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || number == 0) return std::nullopt;
  return number;
}

std::string tcp_flags_text(std::uint8_t flags) {
  std::string text;
  for (std::size_t bit = 0; bit < kTcpFlags.size(); bit++)
    if ((flags & 1U << bit) != 0) text += kTcpFlags[bit];
  return text.empty() ? "-" : text;
}

std::optional<std::uint8_t> tcp_flags_of(std::string_view letters) {
  unsigned flags = 0;
  for (const char letter : letters) {
    const auto bit = kTcpFlags.find(letter);
    if (bit == std::string_view::npos) return std::nullopt;
    flags |= 1U << bit;
  }
  return static_cast<std::uint8_t>(flags);
}

}  // namespace sluice::maps
