/// bpfctl status: is the datapath there, and is all well with it.
#include <algorithm>
#include <cerrno>
#include <memory>

#include "cli/command.hpp"
#include "cli/levels.hpp"
#include "cli/text.hpp"
#include "loader/config.hpp"
#include "loader/observe/agent.hpp"
#include "loader/observe/endpoints.hpp"
#include "loader/observe/metrics.hpp"
#include "loader/observe/observer.hpp"
#include "loader/program/features.hpp"
#include "loader/program/lifecycle.hpp"
#include "loader/program/object.hpp"
#include "loader/program/socket_hooks.hpp"
#include "loader/program/status.hpp"
#include "maps/layout.h"
#include "maps/names.hpp"

namespace sluice::cli {

namespace {

using loader::Root;
namespace observe = loader::observe;
namespace program = loader::program;

constexpr const char* kExamples = R"(  bpfctl status                        the datapath of this node at a glance
  bpfctl status --root /run/node-2     of another node on this machine
  bpfctl status -o json | jq .maps)";

/// Counters that are not 0 where something did not go as it should, and what to do about it.
struct Trouble {
  maps::counter counter;
  const char* advice;
};
constexpr Trouble kTroubles[] = {
    {maps::COUNTER_FLOW_INSERT_FAILED, "every packet of these connections takes the slow path"},
    {maps::COUNTER_FRAGMENT_INSERT_FAILED, "later fragments of these packets are dropped"},
    {maps::COUNTER_EVENT_LOST, "an observer reads too slowly: narrow its filter"},
    {maps::COUNTER_ICMP_ERROR_LIMITED, "many packets run out of TTL or are too big"},
};

/// What stands where: the words of the first lines.
struct Loaded {
  std::string version;  ///< of the Sluice that loaded it; empty: nobody wrote it down
  bool complete = false;
  bool as_configured = true;
};

Result<Loaded> loaded(const Root& root) {
  const auto record = program::load_record(root);
  if (record.failed_with(ENOENT)) return Loaded{};
  if (!record) return record.error();
  const auto config = loader::NodeConfig::read(root);
  return Loaded{.version = record->version,
                .complete = record->complete,
                .as_configured = config && program::object_identity(*config) == record->identity};
}

std::string state_text(const Loaded& loaded) {
  if (loaded.version.empty()) return "loaded, by whom is not on record: `sluiced load` puts it right";
  if (!loaded.complete) return "an upgrade has not come to its end: `sluiced load` finishes it";
  if (!loaded.as_configured)
    return "loaded, but of another build or configuration than this: `sluiced load` upgrades it";
  return "loaded";
}

Listing programs_listing(const std::vector<program::ProgramStatus>& programs) {
  Listing listing(
      {{"name", "PROGRAM"}, {"id", "ID"}, {"tag", "TAG"}, {"instructions", "INSTRUCTIONS"}, {"hooks", "HOOKS"}});
  for (const auto& one : programs) listing.add({one.name, one.id, one.tag, one.instructions, one.attachments.size()});
  return listing;
}

Listing endpoints_listing(const std::vector<observe::EndpointStatus>& endpoints) {
  Listing listing({{"pod", "POD"}, {"hostInterface", "HOST INTERFACE"}, {"problem", "PROBLEM"}});
  for (const auto& endpoint : endpoints)
    for (const auto& problem : endpoint.problems)
      listing.add({name(endpoint.pod), name(endpoint.host_ifname), problem});
  return listing;
}

Result<Listing> troubles_listing(const Root& root) {
  Listing listing({{"counter", "COUNTER"}, {"value", "VALUE"}, {"text", "WHAT"}, {"advice", "AND SO"}});
  const auto counters = TRY(observe::counters(root));
  for (const Trouble& trouble : kTroubles) {
    const auto& counter = counters.at(trouble.counter);
    if (counter.value != 0)
      listing.add({std::string(counter.name), counter.value, std::string(counter.text), trouble.advice});
  }
  return listing;
}

Result<Listing> agent_listing(const Root& root) {
  Listing listing({{"where", "AGENT"}, {"text", "WHAT IT COULD NOT DO"}});
  for (const auto& trouble : TRY(observe::agent_troubles(root))) listing.add({trouble.where, trouble.what});
  return listing;
}

Result<Listing> observers_listing(const Root& root) {
  Listing listing(
      {{"slot", "OBSERVER"}, {"pid", "PID"}, {"command", "COMMAND"}, {"events", "EVENTS"}, {"lost", "LOST"}});
  for (const auto& observer : TRY(observe::observers(root))) {
    std::vector<std::string> types;
    std::string text;
    for (const auto type : observer.types) {
      types.push_back(maps::event_type_name(type));
      text += (text.empty() ? "" : ",") + types.back();
    }
    listing.add({observer.slot, observer.holder ? Cell(observer.holder->pid) : nothing(),
                 observer.holder ? Cell(observer.holder->command) : Cell("(ended; the next observer takes the slot)"),
                 Cell(text, types), observer.lost});
  }
  return listing;
}

struct Sums {
  std::uint64_t forwarded = 0, dropped = 0;
};

Result<Sums> sums(const Root& root) {
  Sums sums;
  for (const auto& one : TRY(observe::traffic(root)))
    (one.reason == maps::DROP_NONE ? sums.forwarded : sums.dropped) += one.packets;
  return sums;
}

/// Whether sockets are given backends, and where.
Cell socket_hooks(const std::vector<program::ProgramStatus>& programs) {
  std::size_t attached = 0;
  std::string where;
  for (const auto& one : programs)
    for (const auto& place : one.attachments) {
      if (place.mode != "cgroup") continue;
      attached++;
      where = " on " + place.place;
    }
  if (attached == 0)
    return {"none: Services are balanced packet by packet, and the node's own processes reach none", attached};
  return {fmt::format("{} of {}{}", attached, program::kSocketPrograms.size(), where), attached};
}

/// Where packets of the world are seen before the kernel has made them.
Cell xdp_hooks(const std::vector<program::ProgramStatus>& programs) {
  std::string text;
  std::vector<std::string> names;
  for (const auto& one : programs)
    for (const auto& place : one.attachments) {
      if (place.hook != "xdp") continue;
      names.push_back(place.place);
      text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", place.place, place.mode);
    }
  return {names.empty() ? "none" : text, names};
}

Result<Details> head(const Root& root, const Loaded& loaded, const std::vector<program::ProgramStatus>& programs,
                     const std::vector<observe::EndpointStatus>& endpoints) {
  const auto ready = std::ranges::count_if(endpoints, [](const auto& endpoint) { return endpoint.problems.empty(); });
  const auto tcx = std::ranges::count(endpoints, loader::AttachMode::kTcx, &observe::EndpointStatus::mode);
  const auto clsact = static_cast<long>(endpoints.size()) - tcx;
  const Sums packets = TRY(sums(root));
  Details details;
  details.add({"datapath", "Datapath"}, state_text(loaded));
  details.add(
      {"version", "Version"},
      loaded.version.empty()
          ? nothing()
          : Cell(fmt::format("{} (maps of layout v{})", loaded.version, SLUICE_LAYOUT_VERSION), loaded.version));
  details.add({"layout", "", Show::kJson}, SLUICE_LAYOUT_VERSION);
  details.add({"complete", "", Show::kJson}, loaded.complete);
  details.add({"asConfigured", "", Show::kJson}, loaded.as_configured);
  details.add({"root", "Root"}, root.prefix().empty() ? "/" : root.prefix().string());
  details.add({"kernel", "Kernel"}, program::kernel_release());
  details.add({"endpoints", "Pod interfaces"},
              Cell(fmt::format("{}, {} ready ({} by clsact, {} by tcx)", endpoints.size(), ready, clsact, tcx),
                   endpoints.size()));
  details.add({"endpointsReady", "", Show::kJson}, ready);
  details.add({"attachedByClsact", "", Show::kJson}, clsact);
  details.add({"attachedByTcx", "", Show::kJson}, tcx);
  details.add({"socketHooks", "Socket hooks"}, socket_hooks(programs));
  details.add({"xdp", "XDP hooks"}, xdp_hooks(programs));
  details.add({"packetsForwarded", "Forwarded"}, Cell(fmt::format("{} packets", packets.forwarded), packets.forwarded));
  details.add({"packetsDropped", "Dropped"},
              Cell(fmt::format("{} packets{}", packets.dropped, packets.dropped == 0 ? "" : " (bpfctl drops)"),
                   packets.dropped));
  return details;
}

Result<void> show(const Root& root, Format format) {
  const auto programs = TRY(program::program_status(root));
  const auto endpoints = TRY(observe::endpoints(root));
  const Details details = TRY(head(root, TRY(loaded(root)), programs, endpoints));
  const struct {
    const char* key;
    Listing listing;
    bool even_if_empty;
  } parts[] = {{"programs", programs_listing(programs), true},    {"maps", TRY(map_levels(root)), true},
               {"problems", endpoints_listing(endpoints), false}, {"failures", TRY(troubles_listing(root)), false},
               {"agent", TRY(agent_listing(root)), false},        {"observers", TRY(observers_listing(root)), false}};
  if (format == Format::kJson) {
    Json all = details.json();
    for (const auto& part : parts) all[part.key] = part.listing.json();
    print_json(all);
    return {};
  }
  fmt::print("{}", details.text());
  for (const auto& part : parts)
    if (part.even_if_empty || !part.listing.empty()) fmt::print("\n{}", part.listing.table(format));
  return {};
}

}  // namespace

void add_status(Commands& commands) {
  auto format = std::make_shared<Format>(Format::kTable);
  CLI::App& verb = commands.verb("status", "Show whether the datapath is loaded and all is well with it", kExamples,
                                 [format](const Root& root) { return show(root, *format); });
  commands.output(verb, *format, {"table", "json"});
}

}  // namespace sluice::cli
