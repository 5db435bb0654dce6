#include "loader/observe/policy_words.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>

#include "loader/state/policy/words.hpp"

namespace sluice::loader::observe {

namespace {

using state::policy::PolicyRecord;
using state::policy::RuleRecord;
using state::policy::Tier;

bool covers(const RuleRecord& rule, const PolicyQuestion& question) {
  return std::ranges::any_of(rule.ranges, [&](const auto& range) {
    return range.proto == 0 ||
           (range.proto == question.proto && range.first <= question.port && question.port <= range.last);
  });
}

void add(std::string& list, const std::string& word) { list += (list.empty() ? "" : "; ") + word; }

}  // namespace

Result<PolicyWords> PolicyWords::read(const Root& root) {
  const auto path = state::policy::record_file(root);
  std::ifstream file(path);
  if (!file) return fail(errno, "open " + path.string());
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return PolicyWords(TRY(state::policy::parse_record(text).context("read " + path.string())));
}

PolicyWords::PolicyWords(state::policy::Record record) : record_(std::move(record)) {
  for (const PolicyRecord& policy : record_.policies)
    for (const bool ingress : {true, false})
      if (const auto& rules = policy.rules(ingress))
        for (std::size_t i = 0; i < rules->size(); i++)
          rules_.emplace((*rules)[i].number, Place{&policy, &(*rules)[i], ingress, i});
}

bool PolicyWords::selects(const PolicyRecord& policy, const std::string& pod) const {
  const auto known = record_.pods.find(pod);
  if (known == record_.pods.end()) return false;
  const std::string ns = pod.substr(0, pod.find('/'));
  if (!policy.pods.matches(known->second.labels)) return false;
  if (policy.tier == Tier::kNetwork) return policy.ns == ns;
  // A namespace whose object is not known has the label that every one has.
  const auto labels = record_.namespaces.find(ns);
  return policy.namespaces.matches(
      labels != record_.namespaces.end() ? labels->second : kube::Labels{{"kubernetes.io/metadata.name", ns}});
}

std::vector<const PolicyRecord*> PolicyWords::about(const std::string& pod, bool ingress) const {
  std::vector<const PolicyRecord*> all;
  for (const PolicyRecord& policy : record_.policies)
    if (policy.rules(ingress) && selects(policy, pod)) all.push_back(&policy);
  return all;
}

std::string PolicyWords::rule(std::uint32_t number, const PolicyQuestion& question) const {
  std::string by_number, by_name;
  const auto [begin, end] = rules_.equal_range(number);
  for (auto place = begin; place != end; ++place) {
    const auto& [policy, rule, ingress, index] = place->second;
    if (ingress != question.ingress || (!question.pod.empty() && !selects(*policy, question.pod))) continue;
    const auto name = state::policy::rule_name(policy->policy, ingress, index + 1, rule->name);
    if (covers(*rule, question))
      add(by_number, name);
    else if (rule->named_ports)
      add(by_name, name);
  }
  // Rules of one number have the same names of ports, so what no number covers was allowed by name.
  return by_number.empty() ? by_name : by_number;
}

std::string PolicyWords::isolation(const std::string& pod, bool ingress) const {
  std::string list;
  for (const PolicyRecord* policy : about(pod, ingress))
    if (policy->tier == Tier::kNetwork) add(list, policy->policy);
  return list.empty() ? "" : "isolated by " + list;
}

std::string PolicyWords::denial(std::uint32_t number, const PolicyQuestion& question) const {
  if (number != 0) {
    const std::string known = rule(number, question);
    return known.empty() ? "by rule " + std::to_string(number) : "by " + known;
  }
  const std::string isolated = isolation(question.pod, question.ingress);
  return isolated.empty() ? "isolated, no rule allows" : isolated + ", no rule allows";
}

}  // namespace sluice::loader::observe
