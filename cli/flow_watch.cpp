/// bpfctl flow watch: what happens to connections, as it happens.
#include <fmt/chrono.h>
#include <net/if.h>
#include <netinet/in.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <limits>

#include "cli/flow.hpp"
#include "cli/service.hpp"
#include "cli/text.hpp"
#include "loader/observe/flows.hpp"
#include "loader/observe/observer.hpp"
#include "loader/observe/pod_names.hpp"
#include "loader/observe/policy_words.hpp"
#include "maps/names.hpp"

namespace sluice::cli {

namespace {

using loader::Root;
namespace observe = loader::observe;
using Clock = std::chrono::steady_clock;

constexpr const char* kExamples =
    R"(  bpfctl flow watch                                    connections that open and end, packets that are dropped
  bpfctl flow watch --event dropped --pod default/web  what is dropped of what a pod sends
  bpfctl flow watch --reason POLICY_INGRESS            with the rule that denies, or the policies that isolate the pod
  bpfctl flow watch --event audited                    what policy would drop, were it not in audit mode
  bpfctl flow watch --event packet --port 53 --count 20
  bpfctl flow watch --timeout 10 -o json | jq -c 'select(.event == "new")'

Filters work in the kernel: what they let through costs, the rest does not. --pod is what comes in from the pod's
interface or leaves through it; a packet that another pod's hook drops on its way to the pod is found by --address.
With --count, fewer events within --timeout are a failure (exit status 1).)";

constexpr std::chrono::milliseconds kLongestWait{200};  // a signal that comes just before the wait is seen after it

struct Options {
  FlowOptions flow;
  std::vector<std::string> events = {"new", "closed", "dropped", "audited"};
  std::string reason;
  std::uint64_t count = 0;  ///< 0: no end
  double timeout = 0;       ///< 0: no end
  Format format = Format::kTable;
};

volatile std::sig_atomic_t interrupted = 0;

/// Ends the loop instead of the process, so that the slot is given back.
void end_on_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c): a reader that has gone is seen by the failed write
}

/// Pods come while we watch; those that go are still named.
class Names {
 public:
  explicit Names(const Root& root) : root_(root) { read(); }

  std::string of(const Address& address) {
    std::string found = lookup(address);
    if (found.empty() && Clock::now() - read_at_ > std::chrono::seconds(1)) {
      read();
      found = lookup(address);
    }
    return found;
  }

 private:
  std::string lookup(const Address& address) {
    std::string found = now_ ? now_->of(address) : "";
    if (!found.empty()) return before_[address] = found;
    const auto gone = before_.find(address);
    return gone != before_.end() ? gone->second : "";
  }
  void read() {
    auto names = observe::PodNames::read(root_);
    if (names) now_ = *std::move(names);
    read_at_ = Clock::now();
  }

  Root root_;
  std::optional<observe::PodNames> now_;
  std::map<Address, std::string> before_;
  Clock::time_point read_at_;
};

/// Why policy denied, in words; they are read again when they may have changed.
class Denials {
 public:
  explicit Denials(const Root& root) : root_(root) {}

  /// Empty: it was not policy.
  std::string of(const maps::flow_event& event, Names& names) {
    const bool ingress = event.reason == maps::DROP_POLICY_INGRESS;
    if (!ingress && event.reason != maps::DROP_POLICY_EGRESS) return {};
    refresh();
    if (!words_) return event.rule != 0 ? fmt::format("by rule {}", event.rule) : "isolated, no rule allows";
    // Of a packet that is an answer, the sender is the one who was asked.
    const std::string source = names.of(Address(event.src)), destination = names.of(Address(event.dst));
    const std::string pod = ingress ? destination : source, other = ingress ? source : destination;
    const bool answer = words_->about(pod, ingress).empty() && !words_->about(other, ingress).empty();
    return words_->denial(event.rule, {answer ? other : pod, ingress, event.proto,
                                       answer ? event.sport.to_host() : event.dport.to_host()});
  }

 private:
  void refresh() {
    if (Clock::now() - read_at_ < std::chrono::seconds(1)) return;
    read_at_ = Clock::now();
    std::error_code error;
    const auto written = std::filesystem::last_write_time(loader::state::policy::record_file(root_), error);
    if (error || written == written_) return;
    if (auto words = observe::PolicyWords::read(root_)) words_.emplace(*std::move(words));
    written_ = written;
  }

  Root root_;
  std::optional<observe::PolicyWords> words_;
  std::filesystem::file_time_type written_;
  Clock::time_point read_at_;
};

/// What Services are called; they come while we watch.
class Services {
 public:
  explicit Services(const Root& root) : root_(root) {}

  /// "default/web", "number 7" where nobody says more; empty for 0.
  std::string of(std::uint32_t number) {
    if (number != 0 && !words_.knows(number) && Clock::now() - read_at_ > std::chrono::seconds(1)) {
      words_ = ServiceWords(root_);
      read_at_ = Clock::now();
    }
    return words_.of(number);
  }

 private:
  Root root_;
  ServiceWords words_;
  Clock::time_point read_at_;
};

/// CLOCK_MONOTONIC as wall-clock time, local, as people's clocks show it.
std::chrono::system_clock::time_point wall_time(std::uint64_t monotonic_ns) {
  const auto ago = static_cast<std::int64_t>(observe::monotonic_ns() - monotonic_ns);
  return std::chrono::system_clock::now() -
         std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::nanoseconds(ago));
}

Cell time_cell(std::uint64_t monotonic_ns) {
  const auto time = wall_time(monotonic_ns);
  const auto whole = std::chrono::system_clock::to_time_t(time);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count() % 1000;
  return {fmt::format("{:%H:%M:%S}.{:03}", fmt::localtime(whole), ms),
          fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(whole), ms)};
}

std::string device_name(std::uint32_t ifindex) {
  std::array<char, IF_NAMESIZE> device{};
  if (ifindex == 0) return "";
  return if_indextoname(ifindex, device.data()) != nullptr ? device.data() : "#" + std::to_string(ifindex);
}

observe::FlowEnd backend_of(const maps::flow_event& event) {
  return {Address(event.backend), event.backend_port.to_host()};
}

/// What there is to say of an event besides its ends.
std::string detail(const maps::flow_event& event, const std::string& denial, const std::string& service) {
  switch (event.type) {
    case maps::EVENT_DROPPED:
    case maps::EVENT_AUDITED:
      return maps::drop_reason_name(event.reason) + ": " + maps::drop_reason_text(event.reason) +
             (denial.empty() ? "" : " (" + denial + ")");
    case maps::EVENT_CLOSED:
      return fmt::format("sent {} packets, {}; received {} packets, {}", event.packets[0], bytes_text(event.bytes[0]),
                         event.packets[1], bytes_text(event.bytes[1]));
    default:
      return fmt::format(
          "{} to {}{}", bytes_text(event.length), maps::flow_delivery_name(event.delivery),
          event.service != 0 ? fmt::format(", backend {} of {}", end_text(backend_of(event)), service) : "");
  }
}

const std::vector<Column>& columns() {
  static const std::vector<Column> all = {{"time", "TIME"},
                                          {"event", "EVENT"},
                                          {"protocol", "PROTO"},
                                          {"source", "SOURCE"},
                                          {"sourcePort", "", Show::kJson},
                                          {"sourcePod", "POD"},
                                          {"destination", "DESTINATION"},
                                          {"destinationPort", "", Show::kJson},
                                          {"destinationPod", "POD"},
                                          {"detail", "DETAIL"},
                                          {"hook", "", Show::kJson},
                                          {"interface", "", Show::kJson},
                                          {"reason", "", Show::kJson},
                                          {"rule", "", Show::kJson},
                                          {"policy", "", Show::kJson},
                                          {"service", "", Show::kJson},
                                          {"backend", "", Show::kJson},
                                          {"flags", "", Show::kJson},
                                          {"frameBytes", "", Show::kJson},
                                          {"sentPackets", "", Show::kJson},
                                          {"sentBytes", "", Show::kJson},
                                          {"receivedPackets", "", Show::kJson},
                                          {"receivedBytes", "", Show::kJson}};
  return all;
}

std::vector<Cell> cells(const maps::flow_event& event, Names& names, Denials& denials, Services& services) {
  const observe::FlowEnd source{Address(event.src), event.sport.to_host()};
  const observe::FlowEnd destination{Address(event.dst), event.dport.to_host()};
  const std::string denial = denials.of(event, names), service = services.of(event.service);
  const bool closed = event.type == maps::EVENT_CLOSED;
  const auto if_closed = [&](std::uint64_t number) { return closed ? Cell(number) : nothing(); };
  return {time_cell(event.time_ns),
          maps::event_type_name(event.type),
          maps::protocol_name(event.proto),
          Cell(end_text(source), source.address.text()),
          source.port,
          name(names.of(source.address)),
          Cell(end_text(destination), destination.address.text()),
          destination.port,
          name(names.of(destination.address)),
          detail(event, denial, service),
          maps::hook_name(event.hook),
          name(device_name(event.ifindex)),
          event.reason != maps::DROP_NONE ? Cell(maps::drop_reason_name(event.reason)) : nothing(),
          event.rule != 0 ? Cell(event.rule) : nothing(),
          name(denial),
          name(service),
          event.service != 0 ? Cell(end_text(backend_of(event))) : nothing(),
          event.proto == IPPROTO_TCP ? Cell(maps::tcp_flags_text(event.tcp_flags)) : nothing(),
          closed ? nothing() : Cell(event.length),
          if_closed(event.packets[0]),
          if_closed(event.bytes[0]),
          if_closed(event.packets[1]),
          if_closed(event.bytes[1])};
}

/// Prints one event a line, as soon as it comes.
class Printer {
 public:
  Printer(const Root& root, Format format)
      : format_(format), denials_(root), services_(root), lines_(columns(), {12, 7, 6, 24, 14, 24, 14}) {
    if (format_ != Format::kJson) fmt::print("{}", lines_.heading());
    std::fflush(stdout);
  }

  void event(const maps::flow_event& event, Names& names) {
    const auto row = cells(event, names, denials_, services_);
    if (format_ == Format::kJson)
      json(lines_.json(row));
    else
      fmt::print("{}", lines_.line(row));
  }

  /// Events that were not seen, since the last time that they were told of.
  void lost(std::uint64_t total) {
    if (total == told_) return;
    if (format_ == Format::kJson) json({{"event", "lost"}, {"lost", total - told_}});
    fmt::print(stderr, "bpfctl: {} events lost: they came faster than they could be shown; narrow the filter\n",
               total - told_);
    told_ = total;
  }

  /// False: whoever reads has gone.
  static bool flush() { return std::fflush(stdout) == 0 && std::ferror(stdout) == 0; }

 private:
  static void json(const Json& object) {
    fmt::print("{}\n", object.dump(-1, ' ', false, Json::error_handler_t::replace));
  }

  Format format_;
  Denials denials_;
  Services services_;
  Lines lines_;
  std::uint64_t told_ = 0;
};

Result<observe::EventFilter> filter_of(const Root& root, const Options& options) {
  observe::EventFilter filter{.types = {},
                              .address = options.flow.block(),
                              .port = options.flow.wanted_port(),
                              .proto = options.flow.wanted_protocol(),
                              .reason = maps::drop_reason_of(options.reason),
                              .ifindex = {}};
  for (const auto& event : options.events)
    if (const auto type = maps::event_type_of(event)) filter.types.push_back(*type);
  if (filter.reason) filter.types = {maps::EVENT_DROPPED, maps::EVENT_AUDITED};
  if (options.flow.pod.empty()) return filter;
  const auto pod = TRY(observe::PodName::parse(options.flow.pod));
  const auto interfaces = TRY(TRY(observe::PodNames::read(root)).attachments_of(pod));
  if (interfaces.size() > 1)
    return refuse(EINVAL, "pod " + pod.text() + " has " + std::to_string(interfaces.size()) +
                              " interfaces, and a filter in the kernel is for one: watch one of its addresses "
                              "(--address, see `bpfctl endpoint get " +
                              pod.text() + "`)");
  if (interfaces[0].host_ifindex == 0) return refuse(EAGAIN, "pod " + pod.text() + " has no interface yet: try again");
  filter.ifindex = interfaces[0].host_ifindex;
  return filter;
}

Result<void> watch(const Root& root, const Options& options) {
  end_on_signals();
  auto observer = TRY(observe::Observer::open(root, TRY(filter_of(root, options))));
  Names names(root);
  Printer printer(root, options.format);
  const std::uint64_t most = options.count != 0 ? options.count : std::numeric_limits<std::uint64_t>::max();
  const auto end =
      options.timeout > 0
          ? Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options.timeout))
          : Clock::time_point::max();
  std::uint64_t shown = 0;
  while (interrupted == 0 && shown < most) {
    const auto now = Clock::now();
    if (now >= end) break;
    const auto patience = std::min(std::chrono::ceil<std::chrono::milliseconds>(end - now), kLongestWait);
    TRY(observer.poll(patience, [&](const maps::flow_event& event) {
      if (shown < most) printer.event(event, names), shown++;
    }));
    printer.lost(observer.lost());
    if (!Printer::flush()) return {};
  }
  if (observer.lapses() != 0)
    fmt::print(stderr, "bpfctl: it was stopped for so long that events were not kept ({} times)\n", observer.lapses());
  if (options.count != 0 && shown < most && interrupted == 0)
    return refuse(ETIMEDOUT, fmt::format("{} of {} events came within {} s", shown, most, options.timeout));
  return {};
}

}  // namespace

void add_flow_watch(Commands& commands, CLI::App& noun) {
  static const std::vector<std::string> kEvents = {"new", "closed", "dropped", "audited", "packet"};
  auto options = std::make_shared<Options>();
  CLI::App& verb = commands.verb(noun, "watch", "Show events as they happen, until Ctrl-C", kExamples,
                                 [options](const Root& root) { return watch(root, *options); });
  options->flow.declare(commands, verb);
  CLI::Option* events =
      verb.add_option("--event", options->events, "new, closed, dropped, audited, packet; several with commas");
  events->delimiter(',')->check(CLI::IsMember(kEvents))->type_name("EVENT");
  commands.complete(events, [](const Root&) { return kEvents; });
  CLI::Option* reason = verb.add_option("--reason", options->reason,
                                        "Packets dropped for this reason (or let through by audit), no other event");
  reason->check(CLI::IsMember(maps::drop_reason_names(), CLI::ignore_case))->type_name("REASON");
  commands.complete(reason, [](const Root&) { return maps::drop_reason_names(); });
  verb.add_option("-c,--count", options->count, "End after so many events")->check(CLI::PositiveNumber)->type_name("N");
  verb.add_option("-t,--timeout", options->timeout, "End after so long")
      ->check(CLI::PositiveNumber)
      ->type_name("SECONDS");
  commands.output(verb, options->format, {"table", "json"});
}

}  // namespace sluice::cli
