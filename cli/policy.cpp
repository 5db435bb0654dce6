/// bpfctl policy: what policies say, and what of it is in force.
#include "cli/policy.hpp"

#include <cerrno>
#include <memory>

namespace sluice::cli {

namespace {

using loader::Root;
namespace observe = loader::observe;

constexpr const char* kUsageExamples =
    R"(  bpfctl policy usage               how full the maps of policy are, and how much pods share
  bpfctl policy usage -o json | jq '.maps[] | select(.percent > 80)'

A change that does not fit is refused as a whole: what was in force stays, and sluiced says which map was too small.)";

Cell each(std::size_t users, std::size_t things) {
  if (things == 0) return nothing();
  const double number = static_cast<double>(users) / static_cast<double>(things);
  return {fmt::format("{:.1f}", number), number};
}

Result<void> usage(const Root& root, Format format) {
  const auto usage = TRY(TRY(observe::PolicyMaps::open(root)).usage());
  Listing levels({{"name", "MAP"}, {"entries", "ENTRIES"}, {"capacity", "CAPACITY"}, {"percent", "FULL"}});
  for (const auto& map : usage.maps) {
    const double percent = map.capacity == 0 ? 0 : 100.0 * static_cast<double>(map.entries) / map.capacity;
    levels.add({map.name, map.entries, map.capacity, Cell(fmt::format("{:.1f} %", percent), percent)});
  }
  Listing sharing({{"what", "SHARED"}, {"number", "NUMBER"}, {"users", "USERS"}, {"each", "EACH"}, {"by", "BY"}});
  sharing.add({"rule sets", usage.rule_sets, usage.directions, each(usage.directions, usage.rule_sets),
               "pods of this node, once for each direction"});
  sharing.add({"sets of peers", usage.peer_sets, usage.peer_set_users, each(usage.peer_set_users, usage.peer_sets),
               "ports of rule sets"});
  if (format == Format::kJson) {
    print_json({{"maps", levels.json()}, {"sharing", sharing.json()}});
    return {};
  }
  fmt::print("{}\n{}", levels.table(format), sharing.table(format));
  return {};
}

}  // namespace

std::optional<observe::PolicyWords> policy_words(const Root& root) {
  auto words = observe::PolicyWords::read(root);
  if (words) return *std::move(words);
  fmt::print(stderr, "bpfctl: rules have numbers only: {}\n",
             words.failed_with(ENOENT) ? "no sluiced has written policy.json here since the node was booted"
                                       : words.error().message);
  return std::nullopt;
}

std::string policy_flags_text(std::uint32_t flags) {
  std::string text;
  for (const auto& [flag, word] :
       {std::pair(POLICY_ISOLATES, "isolates"), {POLICY_AUDIT, "audit"}, {POLICY_REJECT, "reject"}})
    if ((flags & static_cast<std::uint32_t>(flag)) != 0) text += (text.empty() ? "" : ", ") + std::string(word);
  return text;
}

std::string some_of(const std::vector<std::string>& words) {
  constexpr std::size_t kMost = 4;
  std::string text;
  for (std::size_t i = 0; i < words.size(); i++) {
    if (i == kMost && words.size() > kMost + 1) return text + fmt::format(" and {} more", words.size() - kMost);
    text += (i == 0 ? "" : ", ") + words[i];
  }
  return text;
}

void add_policy_usage(Commands& commands, CLI::App& noun) {
  auto format = std::make_shared<Format>(Format::kTable);
  CLI::App& verb = commands.verb(noun, "usage", "Show how full the maps of policy are, and how much is shared",
                                 kUsageExamples, [format](const Root& root) { return usage(root, *format); });
  commands.output(verb, *format, {"table", "json"});
}

void add_policy(Commands& commands) {
  CLI::App& noun = commands.noun("policy", "NetworkPolicy and ClusterNetworkPolicy as they are in force on this node");
  add_policy_list(commands, noun);
  add_policy_check(commands, noun);
  add_policy_usage(commands, noun);
}

}  // namespace sluice::cli
