#include "loader/state/policy/ports.hpp"

#include <set>

#include "maps/bytes.hpp"

namespace sluice::loader::state::policy {
namespace {

constexpr unsigned kPorts = 65536;

bool same(const Answer& a, const Answer& b) {
  if (!maps::same_bytes(a.everyone, b.everyone) || a.peers.size() != b.peers.size()) return false;
  for (auto i = a.peers.begin(), j = b.peers.begin(); i != a.peers.end(); ++i, ++j)
    if (i->first != j->first || !maps::same_bytes(i->second, j->second)) return false;
  return true;
}

void combine(maps::peer_verdict& into, const Rule& rule) {
  maps::tier_verdict& tier = rule.tier == Tier::kAdmin     ? into.admin
                             : rule.tier == Tier::kNetwork ? into.network
                                                           : into.baseline;
  maps::tier_combine(&tier, &rule.verdict);
}

/// What the rules that are for this port say together.
Answer answer_for(const std::vector<Rule>& rules, std::uint8_t proto, unsigned port) {
  Answer answer;
  for (const Rule& rule : rules) {
    bool covers = false;
    for (const PortRange& range : rule.ports)
      covers |= range.proto == 0 || (range.proto == proto && range.first <= port && port <= range.last);
    if (!covers) continue;
    if (rule.everyone) combine(answer.everyone, rule);
    for (const std::uint32_t peer : rule.classes) combine(answer.peers[peer], rule);
  }
  return answer;
}

/// The fewest prefixes that make up first..last.
void add_prefixes(std::vector<PortEntry>& entries, std::uint8_t proto, unsigned first, unsigned last,
                  const Answer& answer) {
  while (first <= last) {
    unsigned bits = 0;
    while (bits < 16 && (first & ((2U << bits) - 1)) == 0 && first + (2U << bits) - 1 <= last) bits++;
    entries.push_back({proto, static_cast<std::uint16_t>(first), static_cast<std::uint8_t>(16 - bits), answer});
    first += 1U << bits;
  }
}

}  // namespace

std::vector<PortEntry> split_ports(const std::vector<Rule>& rules) {
  std::vector<PortEntry> entries;
  std::map<std::uint8_t, std::set<unsigned>> begins;  // where the answer may change, by protocol
  for (const Rule& rule : rules) {
    for (const PortRange& range : rule.ports) {
      if (range.proto == 0) continue;
      begins[range.proto].insert({0, range.first, range.last + 1U});
    }
  }
  const Answer other = answer_for(rules, 0, 0);
  for (const auto& [proto, points] : begins) {
    // Neighbours with the same answer are one range, and what all other protocols have, too, needs no entry of its own.
    const auto add = [&, proto = proto](unsigned from, unsigned to, const Answer& answer) {
      if (!same(answer, other)) add_prefixes(entries, proto, from, to, answer);
    };
    unsigned first = 0;
    Answer current = answer_for(rules, proto, 0);
    for (const unsigned point : points) {
      if (point == 0 || point >= kPorts) continue;
      Answer next = answer_for(rules, proto, point);
      if (same(next, current)) continue;
      add(first, point - 1, current);
      first = point;
      current = std::move(next);
    }
    add(first, kPorts - 1, current);
  }
  if (!other.peers.empty() || !maps::same_bytes(other.everyone, maps::peer_verdict{}))
    entries.push_back({0, 0, 0, other});
  return entries;
}

}  // namespace sluice::loader::state::policy
