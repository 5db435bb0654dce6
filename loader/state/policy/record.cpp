#include "loader/state/policy/record.hpp"

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "loader/state/policy/words.hpp"

namespace sluice::loader::state::policy {
namespace {

using nlohmann::json;
using Operator = kube::LabelRequirement::Operator;

constexpr std::pair<Operator, const char*> kOperators[] = {{Operator::kIn, "In"},
                                                           {Operator::kNotIn, "NotIn"},
                                                           {Operator::kExists, "Exists"},
                                                           {Operator::kDoesNotExist, "DoesNotExist"}};
constexpr std::pair<Tier, const char*> kTiers[] = {
    {Tier::kAdmin, "admin"}, {Tier::kNetwork, "network"}, {Tier::kBaseline, "baseline"}};

template <typename Rows, typename Value>
const char* word_of(const Rows& rows, Value value) {
  return std::ranges::find(rows, value, [](const auto& row) { return row.first; })->second;
}

template <typename Value, std::size_t N>
Value value_of(const std::pair<Value, const char*> (&rows)[N], const std::string& word) {
  for (const auto& [value, text] : rows)
    if (word == text) return value;
  throw json::other_error::create(0, "unknown word " + word, nullptr);
}

// ---- objects to text ----

json selector_json(const kube::LabelSelector& selector) {
  json all = json::array();
  for (const auto& requirement : selector.requirements) {
    json one = {requirement.key, word_of(kOperators, requirement.op)};
    for (const auto& value : requirement.values) one.push_back(value);
    all.push_back(std::move(one));
  }
  return all;
}

json ports_json(const std::vector<kube::PolicyPort>& ports, json rule) {
  rule["ports"] = ports_text(ports);
  json ranges = json::array();
  if (ports.empty()) ranges.push_back({0, 0, 65535});
  for (const kube::PolicyPort& port : ports) {
    if (port.name.empty())
      ranges.push_back({static_cast<int>(port.protocol.value_or(kube::Protocol::kTcp)), port.first, port.last});
    else
      rule["named"] = true;
  }
  rule["ranges"] = std::move(ranges);
  return rule;
}

json rules_json(const kube::ObjectId& id, const std::vector<kube::PolicyRule>& rules, bool ingress) {
  json all = json::array();
  for (const kube::PolicyRule& rule : rules)
    all.push_back(ports_json(
        rule.ports, {{"number", rule_number(rule, id.ns)}, {"action", "allow"}, {"peers", peers_text(rule, ingress)}}));
  return all;
}

json rules_json(const kube::ObjectId& id, const std::vector<kube::ClusterRule>& rules, bool ingress) {
  using Action = kube::ClusterRule::Action;
  json all = json::array();
  for (const kube::ClusterRule& rule : rules) {
    json one{{"number", rule_number(id, ingress, all.size() + 1)}, {"peers", peers_text(rule, ingress)}};
    one["action"] = rule.action == Action::kAccept ? "allow" : rule.action == Action::kDeny ? "deny" : "pass";
    if (!rule.name.empty()) one["name"] = rule.name;
    all.push_back(ports_json(rule.ports, std::move(one)));
  }
  return all;
}

std::string text_of(const kube::ObjectId& id, const kube::NetworkPolicy& policy) {
  json one{{"policy", id.text()}, {"tier", "network"}, {"namespace", id.ns}, {"pods", selector_json(policy.pods)}};
  if (policy.isolates_ingress) one["ingress"] = rules_json(id, policy.ingress, true);
  if (policy.isolates_egress) one["egress"] = rules_json(id, policy.egress, false);
  return one.dump();
}

std::string text_of(const kube::ObjectId& id, const kube::ClusterPolicy& policy) {
  json one{{"policy", id.text()},
           {"tier", policy.tier == kube::ClusterPolicy::Tier::kAdmin ? "admin" : "baseline"},
           {"priority", policy.priority},
           {"namespaces", selector_json(policy.subject.namespaces)},
           {"pods", selector_json(policy.subject.pods)}};
  if (!policy.ingress.empty()) one["ingress"] = rules_json(id, policy.ingress, true);
  if (!policy.egress.empty()) one["egress"] = rules_json(id, policy.egress, false);
  return one.dump();
}

/// Empty: policy is not about it.
std::string text_of(const kube::Object& object, const kube::Pod& pod) {
  if (pod.host_network || pod.ended()) return {};
  json addresses = json::array();
  for (const Address& address : pod.ips) addresses.push_back(address.text());
  return json{{"pod", object.id.ns + '/' + object.id.name},
              {"node", pod.node_name},
              {"addresses", addresses},
              {"labels", object.labels}}
      .dump();
}

void append_list(std::string& text, const char* name, const auto& parts) {
  text += std::string(",\n\"") + name + "\": [";
  const char* before = "\n";
  for (const auto& part : parts) {
    text += std::exchange(before, ",\n");
    text += *part;
  }
  text += ']';
}

// ---- text to values ----

kube::LabelSelector selector_of(const json& text) {
  kube::LabelSelector selector;
  for (const json& one : text) {
    kube::LabelRequirement requirement{one.at(0), value_of(kOperators, one.at(1)), {}};
    for (std::size_t i = 2; i < one.size(); i++) requirement.values.push_back(one[i]);
    selector.requirements.push_back(std::move(requirement));
  }
  return selector;
}

std::optional<std::vector<RuleRecord>> rules_of(const json& policy, const char* direction) {
  if (!policy.contains(direction)) return std::nullopt;
  std::vector<RuleRecord> rules;
  for (const json& one : policy.at(direction)) {
    RuleRecord rule{one.at("number"),         one.value("name", ""), one.at("action"),
                    one.at("peers"),          one.at("ports"),       {},
                    one.value("named", false)};
    for (const json& range : one.at("ranges")) rule.ranges.push_back({range.at(0), range.at(1), range.at(2)});
    rules.push_back(std::move(rule));
  }
  return rules;
}

PolicyRecord policy_of(const json& one) {
  return {one.at("policy"),
          value_of(kTiers, one.at("tier")),
          one.value("priority", 0),
          one.value("namespace", ""),
          one.contains("namespaces") ? selector_of(one.at("namespaces")) : kube::LabelSelector{},
          selector_of(one.at("pods")),
          rules_of(one, "ingress"),
          rules_of(one, "egress")};
}

Record record_of(const json& text) {
  Record record;
  record.node = text.at("node");
  for (const json& one : text.at("policies")) record.policies.push_back(policy_of(one));
  for (const json& one : text.at("pods")) {
    PodRecord pod{one.at("node"), {}, one.at("labels")};
    for (const std::string address : one.at("addresses"))
      if (const auto parsed = Address::parse(address)) pod.addresses.push_back(*parsed);
    record.pods[one.at("pod")] = std::move(pod);
  }
  for (const json& one : text.at("namespaces")) record.namespaces[one.at("namespace")] = one.at("labels");
  std::ranges::stable_sort(record.policies, {},
                           [](const PolicyRecord& one) { return std::pair(one.tier, one.priority); });
  return record;
}

}  // namespace

std::filesystem::path record_file(const Root& root) { return root.run() / "policy.json"; }

Result<Record> parse_record(const std::string& text) {
  try {
    return record_of(json::parse(text));
  } catch (const json::exception& error) {
    return refuse(EPROTO, error.what());
  }
}

void RecordText::take(const Cluster& cluster, const std::vector<kube::ObjectId>& changed) {
  for (const kube::ObjectId& id : changed) {
    const kube::Object* object = cluster.find(id);
    std::string text;
    auto* all = id.kind == "Pod" ? &pods_ : id.kind == "Namespace" ? &namespaces_ : &policies_;
    if (object != nullptr) {
      if (const auto* network = std::get_if<kube::NetworkPolicy>(&object->body))
        text = text_of(id, *network);
      else if (const auto* wide = std::get_if<kube::ClusterPolicy>(&object->body))
        text = text_of(id, *wide);
      else if (const auto* pod = std::get_if<kube::Pod>(&object->body))
        text = text_of(*object, *pod);
      else if (std::holds_alternative<kube::Namespace>(object->body))
        text = json{{"namespace", id.name}, {"labels", object->labels}}.dump();
    }
    if (text.empty()) {
      changed_ |= all->erase(id) > 0;
      continue;
    }
    RecordPage::Part& known = (*all)[id];
    if (known != nullptr && *known == text) continue;
    changed_ = true;
    known = std::make_shared<const std::string>(std::move(text));
  }
}

RecordPage RecordText::page(const std::string& node) {
  changed_ = false;
  RecordPage page;
  page.node_ = node;
  for (const auto& [from, to] :
       {std::pair(&policies_, &page.policies_), {&pods_, &page.pods_}, {&namespaces_, &page.namespaces_}}) {
    to->reserve(from->size());
    for (const auto& [id, part] : *from) to->push_back(part);
  }
  return page;
}

std::string RecordPage::text() const {
  std::string text = "{\"node\": " + json(node_).dump();
  append_list(text, "policies", policies_);
  append_list(text, "pods", pods_);
  append_list(text, "namespaces", namespaces_);
  return text + "}\n";
}

}  // namespace sluice::loader::state::policy
