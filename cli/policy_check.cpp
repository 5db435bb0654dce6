/// bpfctl policy check: what policy says of a connection, and why.
#include <netinet/in.h>

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
using observe::PolicySide;
using Because = PolicySide::Because;

constexpr const char* kExamples =
    R"(  bpfctl policy check --from default/client --to default/web --port 8080        may it, and which rule says so
  bpfctl policy check --from default/client --to 192.0.2.7 --port 53/udp
  bpfctl policy check --from 10.244.2.9 --to default/web --port icmp -o json

It asks the maps of this node as the programs do for the first packet of a connection; each end that is a pod of this
node is judged. A Service is judged as the endpoint behind it: name that. Answers are always allowed.
Exit status: 0 allowed, 1 denied (or failed), each with a sentence; 3 a pod that is not known.)";

struct Options {
  std::string from, to, port;
  Format format = Format::kTable;
};

struct Port {
  std::uint8_t proto = IPPROTO_TCP;
  std::uint16_t number = 0;
};

/// "80", "53/udp", or a protocol without ports.
Result<Port> parse_port(const std::string& text) {
  const auto slash = text.find('/');
  const std::string number = text.substr(0, slash);
  Port port;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), port.number);
  const bool is_number = error == std::errc() && end == number.data() + number.size() && port.number != 0;
  const auto proto = maps::protocol_of(slash != std::string::npos ? text.substr(slash + 1) : is_number ? "tcp" : text);
  if (!proto || (slash != std::string::npos && !is_number))
    return refuse(EINVAL, "'" + text + "' is not a port: 80, 53/udp, or a protocol without ports such as icmp");
  port.proto = *proto;
  return port;
}

CLI::Validator port_name() {
  return CLI::Validator(
      [](const std::string& text) {
        const auto port = parse_port(text);
        return port ? std::string() : port.error().message;
      },
      "PORT[/PROTOCOL]");
}

/// One end as it was given: an address, or a pod with all of its addresses.
struct End {
  std::string pod;   ///< "namespace/name"; empty: none that is known
  std::string node;  ///< where the pod is, when it is elsewhere
  std::vector<Address> addresses;

  [[nodiscard]] std::string text() const { return pod.empty() ? addresses.front().text() : pod; }
};

struct Asked {
  const observe::PolicyMaps& maps;
  const observe::PodNames& names;
  const std::optional<observe::PolicyWords>& words;
};

Result<End> find_end(const std::string& text, const Asked& asked) {
  if (const auto address = Address::parse(text)) return End{asked.names.of(*address), {}, {*address}};
  const auto pod = TRY(observe::PodName::parse(text));
  End end{pod.text(), {}, {}};
  if (const auto here = asked.names.attachments_of(pod)) {
    for (const auto& attachment : *here)
      end.addresses.insert(end.addresses.end(), attachment.addresses.begin(), attachment.addresses.end());
    return end;
  }
  if (asked.words) {
    const auto& pods = asked.words->record().pods;
    if (const auto known = pods.find(pod.text()); known != pods.end() && !known->second.addresses.empty())
      return End{pod.text(), known->second.node, known->second.addresses};
  }
  return refuse(ENOENT, "no pod " + pod.text() + " is known here: give its address");
}

Result<void> check_no_service(const Root& root, const Address& address) {
  bool found = false;
  TRY(TRY(maps::open<maps::Services>(root.maps())).each([&](const maps::service_key& key, const maps::service&) {
    found |= Address(key.addr) == address;
  }));
  if (!found) return {};
  return refuse(EINVAL, address.text() +
                            " is an address of a Service: policy judges the endpoint behind it, at that one's "
                            "port; give the endpoint");
}

struct Judged {
  bool ingress;
  const End& end;
  Address address;
  Port port;
};

std::string why(const PolicySide& side, const Judged& judged, const std::optional<observe::PolicyWords>& words) {
  const observe::PolicyQuestion question{judged.end.pod, judged.ingress, judged.port.proto, judged.port.number};
  switch (side.because) {
    case Because::kNotHere:
      return judged.end.node.empty() ? "no pod of this node: not judged here" : "judged by node " + judged.end.node;
    case Because::kItself:
      return "a pod always reaches itself";
    case Because::kOwnNode:
      return "a pod's own node always reaches it";
    case Because::kNoRuleSet:
      return "no policy selects it";
    case Because::kWaiting:
      return "its policy is not known yet: only its node reaches it";
    case Because::kNotInForce:
      return fmt::format("its rule set {} is gone, and the agent has not given it another", side.rule_set);
    case Because::kNothingSaid:
      return "policies select it, and none of them says anything of this";
    case Because::kIsolated:
      return words ? words->denial(0, question) : "isolated, no rule allows";
    case Because::kRule:
      break;
  }
  const std::string rule = words ? words->rule(side.rule, question) : "";
  return "by " + (rule.empty() ? fmt::format("rule {}", side.rule) : rule);
}

const char* verdict_name(const PolicySide& side) {
  if (side.because == Because::kNotHere) return "";
  return !side.denied ? "allow" : (side.flags & POLICY_AUDIT) != 0 ? "audit" : "deny";
}

/// Both sides of a connection between two addresses. What denies it, in words; empty: it is allowed.
Result<std::string> check_pair(const Asked& asked, const End& from, const End& to, const Address& client,
                               const Address& server, const Port& port, Listing& listing) {
  const auto verdict = TRY(asked.maps.ask(client, server, port.proto, port.number));
  std::string denial;
  for (const bool ingress : {false, true}) {
    const PolicySide& side = ingress ? verdict.ingress : verdict.egress;
    const Judged judged{ingress, ingress ? to : from, ingress ? server : client, port};
    const std::string words = why(side, judged, asked.words);
    listing.add({ingress ? "ingress" : "egress", name(judged.end.pod), judged.address.text(), name(verdict_name(side)),
                 words, side.rule_set != 0 ? Cell(side.rule_set) : nothing(),
                 side.rule != 0 ? Cell(side.rule) : nothing(), name(policy_flags_text(side.flags))});
    if (side.denied && (side.flags & POLICY_AUDIT) == 0 && denial.empty())
      denial = fmt::format("{} of {}: {}", ingress ? "ingress" : "egress", judged.end.text(), words);
  }
  return denial;
}

Result<void> check(const Root& root, const Options& options) {
  const auto maps = TRY(observe::PolicyMaps::open(root));
  const auto names = TRY(observe::PodNames::read(root));
  const auto words = policy_words(root);
  const Asked asked{maps, names, words};
  const Port port = TRY(parse_port(options.port));
  const End from = TRY(find_end(options.from, asked)), to = TRY(find_end(options.to, asked));
  Listing listing({{"direction", "DIRECTION"},
                   {"pod", "POD"},
                   {"address", "ADDRESS"},
                   {"verdict", "VERDICT"},
                   {"why", "WHY"},
                   {"ruleSet", "", Show::kJson},
                   {"rule", "", Show::kJson},
                   {"flags", "", Show::kJson}});
  std::string denial;
  bool judged = false;
  for (const Address& client : from.addresses)
    for (const Address& server : to.addresses) {
      if (client.is_v4() != server.is_v4()) continue;
      TRY(check_no_service(root, server));
      const std::string one = TRY(check_pair(asked, from, to, client, server, port, listing));
      if (denial.empty()) denial = one;
      judged = judged || TRY(maps.is_here(client)) || TRY(maps.is_here(server));
    }
  if (listing.empty()) return refuse(EINVAL, from.text() + " and " + to.text() + " have no address of one family");
  listing.print(options.format);
  if (!judged) return refuse(EINVAL, "neither end is a pod of this node: ask where one is");
  if (!denial.empty()) return refuse(EHOSTUNREACH, "denied: " + denial);
  return {};
}

}  // namespace

void add_policy_check(Commands& commands, CLI::App& noun) {
  auto options = std::make_shared<Options>();
  CLI::App& verb = commands.verb(noun, "check", "Tell whether policy allows a connection, and which rule decides",
                                 kExamples, [options](const Root& root) { return check(root, *options); });
  const auto end = [&](const char* option, std::string& target, const char* help) {
    CLI::Option* added = verb.add_option(option, target, help);
    added->required()->type_name("POD|ADDRESS");
    commands.complete(added, pod_names);
  };
  end("--from", options->from, "Who begins: NAMESPACE/NAME, or an address");
  end("--to", options->to, "With whom: NAMESPACE/NAME, or an address");
  verb.add_option("--port", options->port, "The server's port: 80, 53/udp; or a protocol without ports: icmp")
      ->required()
      ->check(port_name());
  commands.output(verb, options->format, {"table", "json"});
}

}  // namespace sluice::cli
