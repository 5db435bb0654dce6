/// bpfctl service list and get: the addresses of Services, and what is behind them.
#include <algorithm>
#include <map>
#include <memory>

#include "cli/policy.hpp"
#include "cli/service.hpp"
#include "cli/text.hpp"
#include "maps/names.hpp"

namespace sluice::cli {

namespace {

using loader::Root;
namespace observe = loader::observe;
using observe::BackendShares;
using observe::ServiceFrontend;

constexpr const char* kListExamples =
    R"(  bpfctl service list                each address and port of each Service, and who gets its new connections
  bpfctl service list -o wide        with numbers, names of ports, affinity and the switches of the datapath
  bpfctl service list -o json | jq '.[] | select(.backends == []) | .frontend')";

constexpr const char* kGetExamples =
    R"(  bpfctl service get default/web     a Service: its addresses, and each backend with its share
  bpfctl service get 10.96.0.1       whose address is this
  bpfctl service get default/web -o json | jq '.[].backends[] | select(.state != "serving")'

Shares are of new connections: running ones stay where they are. With an endpoint missing, ask `bpfctl service explain`.)";

struct Options {
  std::string which;
  Format format = Format::kTable;
};

struct Known {
  observe::ServiceMaps maps;
  ServiceWords words;
  observe::PodNames pods;
};

Result<Known> known(const Root& root) {
  auto maps = TRY(observe::ServiceMaps::read(root));
  return Known{std::move(maps), ServiceWords::or_say_why(root), TRY(observe::PodNames::read(root))};
}

std::string backend_text(const Known& known, std::uint32_t number) {
  const auto found = known.maps.backends.find(number);
  return found != known.maps.backends.end() ? end_text(found->second.end) : fmt::format("number {}", number);
}

/// What frontends choose from, each with its share: clients of the cluster have one choice, others may have another.
Cell choice_cell(const Known& known, const ServiceFrontend& frontend) {
  const bool outside = (frontend.flags & SERVICE_OUTSIDE) != 0;
  std::map<std::uint32_t, std::pair<double, double>> both;
  for (const auto& [number, share] : frontend.inside) both[number].first = share;
  if (outside)
    for (const auto& [number, share] : frontend.outside) both[number].second = share;
  std::vector<std::string> words;
  Json list = Json::array();
  for (const auto& [number, share] : both) {
    const std::string end = backend_text(known, number);
    const auto& [inside, from_outside] = share;
    words.push_back(fmt::format("{} {:.0f} %", end, 100 * (outside ? from_outside : inside)));
    list.push_back({{"backend", end}, {"share", inside}, {"shareOutside", outside ? Json(from_outside) : Json()}});
  }
  return {both.empty() ? "none: refused" : some_of(words), list};
}

std::string flags_text(std::uint32_t flags) {
  constexpr std::pair<std::uint32_t, const char*> kNames[] = {{SERVICE_KEEP_CLIENT, "keeps the client's address"},
                                                              {SERVICE_DROP_INSIDE, "drops inside clients"},
                                                              {SERVICE_DROP_OUTSIDE, "drops outside clients"},
                                                              {SERVICE_DSR, "direct return"},
                                                              {SERVICE_SOURCE_RANGES, "source ranges"}};
  std::string text;
  for (const auto& [flag, word] : kNames)
    if ((flags & flag) != 0) text += (text.empty() ? "" : ", ") + std::string(word);
  return text;
}

Listing frontends_table() {
  return Listing({{"service", "SERVICE"},
                  {"number", "NUMBER", Show::kWide},
                  {"type", "TYPE"},
                  {"frontend", "FRONTEND"},
                  {"address", "", Show::kJson},
                  {"port", "", Show::kJson},
                  {"protocol", "PROTO"},
                  {"portName", "PORT", Show::kWide},
                  {"policy", "POLICY"},
                  {"algorithm", "ALGORITHM"},
                  {"affinitySeconds", "AFFINITY", Show::kWide},
                  {"switches", "SWITCHES", Show::kWide},
                  {"backends", "BACKENDS"}});
}

std::vector<Cell> frontend_cells(const Known& known, const ServiceFrontend& frontend) {
  const auto* record = known.words.find(frontend.service);
  return {known.words.of(frontend.service),
          frontend.service,
          observe::frontend_type(frontend, record),
          end_text(frontend.end),
          frontend.end.address.text(),
          frontend.end.port,
          maps::protocol_name(frontend.proto),
          record != nullptr ? name(service_port_text(record, frontend.port_index)) : nothing(),
          name(observe::frontend_policy(frontend, record)),
          (frontend.flags & SERVICE_MAGLEV) != 0 ? "maglev" : "random",
          frontend.affinity_seconds != 0 ? Cell(frontend.affinity_seconds) : nothing(),
          name(flags_text(frontend.flags)),
          choice_cell(known, frontend)};
}

Result<void> list(const Root& root, const Options& options) {
  const auto all = TRY(known(root));
  Listing listing = frontends_table();
  for (const auto& frontend : all.maps.frontends) listing.add(frontend_cells(all, frontend));
  listing.sort({"service"});
  listing.print(options.format);
  return {};
}

/// The backends of one Service, those that nobody is sent to any more included.
Listing backends_of(const Known& known, std::uint32_t service) {
  Listing listing({{"frontends", "FRONTENDS"},
                   {"clients", "CLIENTS"},
                   {"backend", "BACKEND"},
                   {"pod", "POD"},
                   {"state", "STATE"},
                   {"local", "HERE"},
                   {"share", "SHARE"}});
  const auto add = [&](const std::vector<std::string>& frontends, const char* clients, std::uint32_t number,
                       const Cell& share) {
    const auto found = known.maps.backends.find(number);
    if (found == known.maps.backends.end()) return;
    const auto& backend = found->second;
    listing.add({Cell(some_of(frontends), frontends), name(clients), end_text(backend.end),
                 name(known.pods.of(backend.end.address)), maps::backend_state_name(backend.state), backend.local,
                 share});
  };
  // Frontends with the same choice share its lines.
  std::map<std::pair<BackendShares, std::string>, std::vector<std::string>> choices;
  for (const auto& frontend : known.maps.frontends) {
    if (frontend.service != service) continue;
    const std::string text = end_text(frontend.end) + "/" + maps::protocol_name(frontend.proto);
    const bool outside = (frontend.flags & SERVICE_OUTSIDE) != 0;
    if (!outside || frontend.inside == frontend.outside) {
      choices[{frontend.inside, outside ? "all" : "inside"}].push_back(text);
    } else {
      choices[{frontend.inside, "inside"}].push_back(text);
      choices[{frontend.outside, "outside"}].push_back(text);
    }
  }
  std::map<std::uint32_t, bool> chosen;
  for (const auto& [choice, frontends] : choices)
    for (const auto& [number, share] : choice.first) {
      add(frontends, choice.second.c_str(), number, share_cell(share));
      chosen[number] = true;
    }
  for (const auto& [number, backend] : known.maps.backends)
    if (backend.service == service && !chosen[number]) add({}, "", number, share_cell(0));
  return listing;
}

Result<void> get(const Root& root, const Options& options) {
  const auto all = TRY(known(root));
  Json json = Json::array();
  std::string text;
  for (const std::uint32_t number : TRY(all.words.meant_by(options.which, all.maps))) {
    const auto* record = all.words.find(number);
    Details head;
    head.add({"service", "Service"}, all.words.of(number));
    head.add({"number", "Number"}, number);
    head.add({"type", "Type"}, record != nullptr ? Cell(record->type) : nothing());
    head.add({"internalTrafficPolicy", "Internal policy"},
             record != nullptr ? Cell(record->internal_policy) : nothing());
    head.add({"externalTrafficPolicy", "External policy"},
             record != nullptr ? Cell(record->external_policy) : nothing());
    Listing frontends = frontends_table();
    for (const auto& frontend : all.maps.frontends)
      if (frontend.service == number) frontends.add(frontend_cells(all, frontend));
    const Listing backends = backends_of(all, number);
    json.push_back(head.json());
    json.back()["frontends"] = frontends.json();
    json.back()["backends"] = backends.json();
    text += (text.empty() ? "" : "\n") + head.text() + "\n" + frontends.table(options.format);
    if (!backends.empty()) text += "\n" + backends.table(options.format);
  }
  if (options.format == Format::kJson)
    print_json(json);
  else
    fmt::print("{}", text);
  return {};
}

}  // namespace

void add_service_list(Commands& commands, CLI::App& noun) {
  auto options = std::make_shared<Options>();
  CLI::App& listing = commands.verb(noun, "list", "List the addresses of Services, and who gets their new connections",
                                    kListExamples, [options](const Root& root) { return list(root, *options); });
  commands.output(listing, options->format, {"table", "wide", "json"});

  CLI::App& one = commands.verb(noun, "get", "Show a Service with its backends, their states and their shares",
                                kGetExamples, [options](const Root& root) { return get(root, *options); });
  CLI::Option* which = one.add_option("SERVICE", options->which, "NAMESPACE/NAME, one of its addresses, or its number");
  which->required();
  commands.complete(which, service_names);
  commands.output(one, options->format, {"table", "wide", "json"});
}

}  // namespace sluice::cli
