/// bpfctl service explain: why endpoints are used or not.
#include <cerrno>
#include <memory>

#include "cli/service.hpp"
#include "cli/text.hpp"
#include "loader/observe/service_choice.hpp"
#include "maps/names.hpp"

namespace sluice::cli {

namespace {

using loader::Root;
namespace observe = loader::observe;

constexpr const char* kExamples =
    R"(  bpfctl service explain default/web            each endpoint: is it used for new connections here, and why (not)
  bpfctl service explain default/web:http       of one port, by its name or number
  bpfctl service explain web:80 -o json | jq '.endpoints[] | select(.cluster | startswith("not used"))'

The choice is made over the objects as they lie in this node's folder, as sluiced makes it; STATE is what the maps have.
Where both do not fit together, sluiced has not come to it yet, or could not: /run/sluice/agent.json says why.)";

struct Options {
  std::string which;
  Format format = Format::kTable;
};

struct Question {
  observe::PodName service;
  std::string port;
};

/// "NAMESPACE/NAME:PORT"
Result<Question> parse(const std::string& text) {
  const auto colon = text.find(':');
  auto name = observe::PodName::parse(text.substr(0, colon));
  if (!name || colon + 1 == text.size())
    return refuse(EINVAL, "'" + text +
                              "' is not a Service: NAMESPACE/NAME, or NAME in the namespace default, with "
                              ":PORT for one of its ports");
  return Question{*name, colon == std::string::npos ? "" : text.substr(colon + 1)};
}

Details head_of(const observe::ServiceChoice& choice) {
  Details head;
  head.add({"service", "Service"}, choice.service);
  head.add({"type", "Type"}, choice.type);
  const std::string balanced = choice.left_alone.empty() ? "yes" : "no: " + choice.left_alone;
  head.add({"balanced", "Balanced"}, Cell(balanced, choice.left_alone.empty()));
  head.add({"leftAlone", "", Show::kJson}, name(choice.left_alone));
  head.add({"internalTrafficPolicy", "Internal policy"}, choice.internal_policy);
  head.add({"externalTrafficPolicy", "External policy"}, choice.external_policy);
  head.add({"algorithm", "Algorithm"}, choice.algorithm);
  head.add({"node", "This node"},
           Cell(choice.here.node + (choice.here.zone.empty() ? ", in no zone" : ", in zone " + choice.here.zone),
                choice.here.node));
  head.add({"zone", "", Show::kJson}, name(choice.here.zone));
  std::string warnings;
  for (const auto& one : choice.warnings) warnings += (warnings.empty() ? "" : "; ") + one;
  head.add({"warnings", "Warnings", choice.warnings.empty() ? Show::kJson : Show::kAlways},
           Cell(warnings, choice.warnings));
  return head;
}

Listing endpoints_of(const observe::ServiceChoice& choice) {
  Listing listing({{"port", "PORT"},
                   {"protocol", "PROTO"},
                   {"endpoint", "ENDPOINT"},
                   {"pod", "POD"},
                   {"node", "NODE"},
                   {"zone", "ZONE", Show::kWide},
                   {"weight", "WEIGHT", Show::kWide},
                   {"condition", "CONDITION"},
                   {"state", "STATE"},
                   {"cluster", "FOR POLICY CLUSTER"},
                   {"local", "FOR POLICY LOCAL"}});
  for (const auto& one : choice.endpoints)
    listing.add({one.port, maps::protocol_name(one.proto), end_text(one.end), name(one.pod), name(one.node),
                 name(one.zone), one.weight, one.condition,
                 one.state ? Cell(maps::backend_state_name(*one.state)) : nothing(), one.cluster,
                 one.local ? Cell(*one.local) : nothing()});
  return listing;
}

Result<void> explain(const Root& root, const Options& options) {
  const Question question = TRY(parse(options.which));
  const auto choice =
      TRY(observe::service_choice(root, question.service.pod_namespace, question.service.name, question.port));
  const Details head = head_of(choice);
  const Listing endpoints = endpoints_of(choice);
  if (options.format == Format::kJson) {
    Json json = head.json();
    json["endpoints"] = endpoints.json();
    print_json(json);
    return {};
  }
  fmt::print("{}", head.text());
  if (!endpoints.empty()) fmt::print("\n{}", endpoints.table(options.format));
  if (endpoints.empty() && choice.left_alone.empty())
    fmt::print("\nNo EndpointSlice of it has an endpoint with {}.\n",
               question.port.empty() ? "one of its ports" : "this port");
  return {};
}

}  // namespace

void add_service_explain(Commands& commands, CLI::App& noun) {
  auto options = std::make_shared<Options>();
  CLI::App& verb = commands.verb(noun, "explain", "Tell why each endpoint of a Service is used here, or not", kExamples,
                                 [options](const Root& root) { return explain(root, *options); });
  CLI::Option* which = verb.add_option("SERVICE", options->which, "NAMESPACE/NAME, and :PORT for one of its ports");
  which->required()->check(checked_by("NAMESPACE/NAME[:PORT]", parse));
  commands.complete(which, service_names);
  commands.output(verb, options->format, {"table", "wide", "json"});
}

}  // namespace sluice::cli
