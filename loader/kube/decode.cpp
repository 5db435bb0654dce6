#include "loader/kube/decode.hpp"

#include <set>

#include "loader/kube/names.hpp"

namespace sluice::loader::kube {

namespace {

using Operator = LabelRequirement::Operator;

Result<std::string> label_key(const Field& field) {
  auto key = TRY(field.required_text());
  if (!is_label_key(key)) return field.wrong("\"" + key + "\" is not a key that a label can have");
  return key;
}

Result<LabelRequirement> decode_requirement(const Field& expression) {
  LabelRequirement requirement{.key = TRY(label_key(TRY(expression.at("key"))))};
  const auto op = TRY(expression.at("operator"));
  TRY(op.required_text());
  requirement.op = TRY(decode_choice(op,
                                     {{"In", Operator::kIn},
                                      {"NotIn", Operator::kNotIn},
                                      {"Exists", Operator::kExists},
                                      {"DoesNotExist", Operator::kDoesNotExist}},
                                     Operator::kExists));
  const auto values = TRY(expression.at("values"));
  std::set<std::string> sorted;
  for (const auto& element : TRY(values.elements())) {
    auto value = TRY(element.text());
    if (!is_label_value(value)) return element.wrong("\"" + value + "\" is not a value that a label can have");
    sorted.insert(std::move(value));
  }
  const bool wants_values = requirement.op == Operator::kIn || requirement.op == Operator::kNotIn;
  if (wants_values && sorted.empty()) return values.wrong("must have a value with the operators In and NotIn");
  if (!wants_values && !sorted.empty()) return values.wrong("must be empty with the operators Exists and DoesNotExist");
  requirement.values.assign(sorted.begin(), sorted.end());
  return requirement;
}

}  // namespace

Result<LabelSelector> decode_selector(const Field& selector) {
  std::set<LabelRequirement> all;
  const auto labels = TRY(selector.at("matchLabels"));
  for (const auto& [key, value] : TRY(labels.text_map())) {
    if (!is_label_key(key)) return labels.wrong("\"" + key + "\" is not a key that a label can have");
    if (!is_label_value(value)) return labels.wrong("\"" + value + "\" is not a value that a label can have");
    all.insert({.key = key, .op = Operator::kIn, .values = {value}});
  }
  const auto expressions = TRY(selector.at("matchExpressions"));
  for (const auto& expression : TRY(expressions.elements())) all.insert(TRY(decode_requirement(expression)));
  return LabelSelector{{all.begin(), all.end()}};
}

Result<Protocol> decode_protocol(const Field& field) {
  return decode_choice(field, {{"TCP", Protocol::kTcp}, {"UDP", Protocol::kUdp}, {"SCTP", Protocol::kSctp}},
                       Protocol::kTcp);
}

Result<std::uint16_t> decode_port(const Field& field) {
  if (field.absent()) return field.wrong("is missing");
  return static_cast<std::uint16_t>(TRY(field.integer(1, 65535)));
}

Result<std::uint16_t> decode_optional_port(const Field& field) {
  return static_cast<std::uint16_t>(TRY(field.integer(0, 65535)));
}

Result<PortRef> decode_port_ref(const Field& field, const PortRef& absent) {
  if (field.is_number()) {
    const auto number = TRY(decode_optional_port(field));
    if (number == 0) return absent;
    return PortRef{.number = number, .name = {}};
  }
  const auto name = TRY(field.text());
  if (name.empty()) return absent;
  if (!is_port_name(name)) return field.wrong("\"" + name + "\" is neither a number nor a port's name");
  return PortRef{.number = 0, .name = name};
}

Result<Prefix> decode_cidr(const Field& field) {
  auto text = TRY(field.required_text());
  constexpr const char* kBlanks = " \t\r\n";
  text.erase(0, std::min(text.find_first_not_of(kBlanks), text.size()));
  text.erase(text.find_last_not_of(kBlanks) + 1);
  if (text.find('/') == std::string::npos)
    return field.wrong("\"" + text + "\" is not an address block like 10.0.0.0/8");
  auto block = Prefix::parse(text);
  if (!block) return field.wrong(block.error().message);
  return Prefix{block->first(), block->length};
}

Result<Address> decode_usable_address(const Field& field) {
  const auto address = TRY(parsed<Address>(field));
  static const auto blocks = [] {
    std::vector<Prefix> all;
    for (const char* text :
         {"0.0.0.0/32", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "::/127", "fe80::/10", "ff00::/8"}) {
      all.push_back(*Prefix::parse(text));
    }
    return all;
  }();
  for (const auto& block : blocks) {
    if (block.contains(address))
      return field.wrong(address.text() + " is no address that can be reached from elsewhere");
  }
  return address;
}

Result<bool> decode_condition(const Field& status, const std::string& type, bool absent) {
  for (const auto& condition : TRY(TRY(status.at("conditions")).elements())) {
    if (TRY(TRY(condition.at("type")).text()) == type) return TRY(TRY(condition.at("status")).text()) == "True";
  }
  return absent;
}

}  // namespace sluice::loader::kube
