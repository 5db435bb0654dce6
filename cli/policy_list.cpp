/// bpfctl policy list and get: the policies with their rules in words, and the rule sets that they have become.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>

#include "cli/policy.hpp"
#include "loader/observe/pod_names.hpp"
#include "maps/names.hpp"

namespace sluice::cli {

namespace {

using loader::Root;
namespace observe = loader::observe;
using loader::state::policy::PolicyRecord;
using loader::state::policy::Tier;

constexpr const char* kListExamples =
    R"(  bpfctl policy list                the policies, and how many pods of this node they select
  bpfctl policy list --sets         the compiled rule sets, and which pods have them
  bpfctl policy list -o json | jq -r '.[] | select(.pods | index("default/web")) | .policy')";

constexpr const char* kGetExamples =
    R"(  bpfctl policy get default/web     a NetworkPolicy: whom it selects, its rules in words
  bpfctl policy get only-dns        a ClusterNetworkPolicy
  bpfctl policy get 7               a compiled rule set: ports, peers and the rule that each verdict comes from)";

struct Options {
  std::string which;
  bool sets = false;
  Format format = Format::kTable;
};

const char* direction_name(bool ingress) { return ingress ? "ingress" : "egress"; }

const char* tier_name(Tier tier) {
  return tier == Tier::kAdmin ? "admin" : tier == Tier::kNetwork ? "network" : "baseline";
}

/// The pods of this node that each policy selects for a direction.
class Selected {
 public:
  Selected(const observe::PolicyWords& words, const observe::PodNames& names) {
    for (const auto& attachment : names.attachments())
      for (const bool ingress : {true, false})
        for (const PolicyRecord* policy : words.about(observe::display_name(attachment), ingress))
          by_policy_[{policy, ingress}].push_back(observe::display_name(attachment));
    for (auto& [policy, pods] : by_policy_) {
      std::ranges::sort(pods);
      pods.erase(std::unique(pods.begin(), pods.end()), pods.end());
    }
  }
  [[nodiscard]] std::vector<std::string> by(const PolicyRecord& policy, bool ingress) const {
    const auto found = by_policy_.find({&policy, ingress});
    return found != by_policy_.end() ? found->second : std::vector<std::string>();
  }

 private:
  std::map<std::pair<const PolicyRecord*, bool>, std::vector<std::string>> by_policy_;
};

Result<void> list_sets(const Root& root, Format format) {
  Listing listing({{"ruleSet", "RULE SET"},
                   {"direction", "DIRECTION"},
                   {"flags", "FLAGS"},
                   {"ports", "PORTS"},
                   {"podCount", "PODS"},
                   {"pods", "WHICH"}});
  for (const observe::RuleSet& set : TRY(TRY(observe::PolicyMaps::open(root)).rule_sets())) {
    const std::string flags = set.id == POLICY_INIT ? "waits for its policy" : policy_flags_text(set.flags);
    const auto add = [&](const char* direction, const std::vector<std::string>& pods) {
      listing.add({set.id, name(direction), name(flags), set.ports, pods.size(), Cell(some_of(pods), pods)});
    };
    if (!set.egress.empty()) add("egress", set.egress);
    if (!set.ingress.empty()) add("ingress", set.ingress);
    if (set.egress.empty() && set.ingress.empty()) add("", {});
  }
  listing.print(format);
  return {};
}

Result<void> list(const Root& root, const Options& options) {
  const auto maps = TRY(observe::PolicyMaps::open(root));  // without a datapath nothing is in force
  const auto words = options.sets ? std::nullopt : policy_words(root);
  if (!words) return list_sets(root, options.format);
  const Selected selected(*words, TRY(observe::PodNames::read(root)));
  Listing listing({{"policy", "POLICY"},
                   {"tier", "TIER"},
                   {"priority", "PRIORITY"},
                   {"direction", "DIRECTION"},
                   {"rules", "RULES"},
                   {"podCount", "PODS HERE"},
                   {"pods", "WHICH"}});
  for (const PolicyRecord& policy : words->record().policies)
    for (const bool ingress : {true, false}) {
      const auto& rules = policy.rules(ingress);
      if (!rules) continue;
      const auto pods = selected.by(policy, ingress);
      listing.add({policy.policy, tier_name(policy.tier),
                   policy.tier == Tier::kNetwork ? nothing() : Cell(policy.priority), direction_name(ingress),
                   rules->size(), pods.size(), Cell(some_of(pods), pods)});
    }
  listing.print(options.format);
  return {};
}

std::string selection_text(const PolicyRecord& policy) {
  const auto part = [](const char* what, const loader::kube::LabelSelector& selector) {
    return selector.everything() ? fmt::format("every {}", what) : fmt::format("{}s {}", what, selector.text());
  };
  return part("pod", policy.pods) + " in " +
         (policy.tier == Tier::kNetwork ? "namespace " + policy.ns : part("namespace", policy.namespaces));
}

struct Shown {
  Details head;
  Listing rules;
};

void print(const std::vector<Shown>& all, Format format) {
  Json json = Json::array();
  std::string text;
  for (const Shown& one : all) {
    json.push_back(one.head.json());
    json.back()["rules"] = one.rules.json();
    text += (text.empty() ? "" : "\n") + one.head.text();
    if (!one.rules.empty()) text += '\n' + one.rules.table(format);
  }
  if (format == Format::kJson)
    print_json(json);
  else
    fmt::print("{}", text);
}

Shown policy_in_words(const PolicyRecord& policy, const Selected& selected) {
  Shown shown{{},
              Listing({{"direction", "DIRECTION"},
                       {"index", "RULE"},
                       {"name", "NAME"},
                       {"action", "ACTION"},
                       {"peers", "PEERS"},
                       {"ports", "PORTS"},
                       {"number", "NUMBER", Show::kWide}})};
  std::string directions;
  std::vector<std::string> pods;
  for (const bool ingress : {true, false}) {
    const auto& rules = policy.rules(ingress);
    if (!rules) continue;
    directions += (directions.empty() ? "" : ", ") + std::string(direction_name(ingress));
    pods = selected.by(policy, ingress);
    int index = 0;
    for (const auto& rule : *rules)
      shown.rules.add(
          {direction_name(ingress), ++index, name(rule.name), rule.action, rule.peers, rule.ports, rule.number});
  }
  shown.head.add({"policy", "Policy"}, policy.policy);
  shown.head.add({"tier", "Tier"}, policy.tier == Tier::kNetwork
                                       ? Cell("network")
                                       : Cell(fmt::format("{}, priority {}", tier_name(policy.tier), policy.priority),
                                              tier_name(policy.tier)));
  shown.head.add({"selects", "Selects"}, selection_text(policy));
  shown.head.add({"directions", policy.tier == Tier::kNetwork ? "Isolates" : "Directions"}, name(directions));
  shown.head.add({"pods", "Pods here"}, Cell(some_of(pods), pods));
  return shown;
}

Result<void> get_policy(const Root& root, const Options& options) {
  const auto words = TRY(observe::PolicyWords::read(root).context("policies by name need what sluiced writes down"));
  const Selected selected(words, TRY(observe::PodNames::read(root)));
  std::vector<Shown> all;
  for (const PolicyRecord& policy : words.record().policies)
    if (policy.policy == options.which || policy.policy.ends_with(' ' + options.which))
      all.push_back(policy_in_words(policy, selected));
  if (all.empty())
    return refuse(ENOENT, "no policy " + options.which +
                              ": `bpfctl policy list` shows those that are (NAMESPACE/NAME, "
                              "or NAME of a ClusterNetworkPolicy)");
  print(all, options.format);
  return {};
}

std::string ports_text(const observe::RuleSetPorts& ports) {
  if (ports.proto == 0) return "every other";
  const std::string proto = maps::protocol_name(ports.proto);
  if (ports.first == 0 && ports.last == 65535) return proto + " every other";
  return proto +
         (ports.first == ports.last ? fmt::format(" {}", ports.first) : fmt::format(" {}-{}", ports.first, ports.last));
}

/// A rule set as the programs have it; each verdict with the rule that it comes from.
Result<void> get_rule_set(const Root& root, std::uint32_t id, Format format) {
  const auto maps = TRY(observe::PolicyMaps::open(root));
  const auto ports = TRY(maps.ports_of(id));
  const auto members = TRY(maps.class_members());
  const auto words = policy_words(root);
  const auto sets = TRY(maps.rule_sets());
  const auto set = std::ranges::find(sets, id, &observe::RuleSet::id);
  Shown shown{{},
              Listing({{"ports", "PORTS"},
                       {"peers", "PEERS"},
                       {"verdict", "VERDICT"},
                       {"by", "BY"},
                       {"rule", "NUMBER", Show::kWide}})};
  const bool ingress = set->egress.empty();
  const auto& pods = ingress ? set->ingress : set->egress;
  const auto add = [&](const observe::RuleSetPorts& at, const Cell& peers, const maps::tier_verdict& said) {
    if (said.verdict == maps::POLICY_NONE) return;
    const std::string by =
        words ? words->rule(said.rule, {pods.empty() ? "" : pods.front(), ingress, at.proto, at.first}) : "";
    shown.rules.add({ports_text(at), peers, maps::policy_verdict_name(said.verdict),
                     name(by.empty() ? fmt::format("rule {}", said.rule) : by), said.rule});
  };
  const auto add_tiers = [&](const observe::RuleSetPorts& at, const Cell& peers, const maps::peer_verdict& said) {
    for (const auto* tier : {&said.admin, &said.network, &said.baseline}) add(at, peers, *tier);
  };
  for (const auto& at : ports) {
    add_tiers(at, "everyone", at.everyone);
    for (const auto& [peer_class, said] : at.peers) {
      const auto known = members.find(peer_class);
      add_tiers(at,
                known != members.end() ? Cell(some_of(known->second), known->second)
                                       : Cell(fmt::format("class {}, which nobody has", peer_class), Json::array()),
                said);
    }
  }
  shown.head.add({"ruleSet", "Rule set"}, id);
  shown.head.add({"flags", "Flags"}, name(policy_flags_text(set->flags)));
  shown.head.add({"egress", "Egress of"}, Cell(some_of(set->egress), set->egress));
  shown.head.add({"ingress", "Ingress of"}, Cell(some_of(set->ingress), set->ingress));
  print({shown}, format);
  return {};
}

Result<void> get(const Root& root, const Options& options) {
  std::uint32_t id = 0;
  const char* end = options.which.data() + options.which.size();
  const auto [rest, error] = std::from_chars(options.which.data(), end, id);
  if (error == std::errc() && rest == end) return get_rule_set(root, id, options.format);
  TRY(observe::PolicyMaps::open(root));
  return get_policy(root, options);
}

std::vector<std::string> policy_names(const Root& root) {
  std::vector<std::string> all;
  if (const auto words = observe::PolicyWords::read(root))
    for (const auto& policy : words->record().policies)
      all.push_back(policy.policy.substr(policy.policy.find(' ') + 1));
  return all;
}

}  // namespace

void add_policy_list(Commands& commands, CLI::App& noun) {
  auto options = std::make_shared<Options>();
  CLI::App& listing = commands.verb(noun, "list", "List policies and the pods of this node that they select",
                                    kListExamples, [options](const Root& root) { return list(root, *options); });
  listing.add_flag("--sets", options->sets, "The compiled rule sets instead, which pods with the same rules share");
  commands.output(listing, options->format, {"table", "json"});

  CLI::App& one = commands.verb(noun, "get", "Show the rules of a policy, or of a compiled rule set, in words",
                                kGetExamples, [options](const Root& root) { return get(root, *options); });
  CLI::Option* which = one.add_option(
      "POLICY", options->which, "NAMESPACE/NAME, the NAME of a ClusterNetworkPolicy, or the number of a rule set");
  which->required();
  commands.complete(which, policy_names);
  commands.output(one, options->format, {"table", "wide", "json"});
}

}  // namespace sluice::cli
