#include "loader/agent/agent.hpp"

#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "loader/agent/attachment_watch.hpp"
#include "loader/agent/host_ports.hpp"
#include "loader/agent/http.hpp"
#include "loader/agent/objects.hpp"
#include "loader/agent/status.hpp"
#include "loader/config.hpp"
#include "loader/program/deny.hpp"
#include "loader/program/lifecycle.hpp"
#include "loader/program/overlay.hpp"
#include "loader/program/socket_hooks.hpp"
#include "loader/program/uplink.hpp"
#include "loader/program/xdp.hpp"

namespace sluice::loader::agent {
namespace {

constexpr std::uint64_t kCareIntervalUs = std::chrono::microseconds(StatusBoard::kRound).count();
constexpr std::uint64_t kCareAccuracyUs = 1'000'000;
constexpr std::uint64_t kWriteDownDelayUs = 500'000, kWriteDownAccuracyUs = 100'000;

struct EventDelete {
  void operator()(sd_event* event) const { sd_event_unref(event); }
};
using Event = std::unique_ptr<sd_event, EventDelete>;

struct Agent {
  Root root;
  NodeConfig config;
  StatusBoard& board;
  HttpServers& servers;
  Objects objects;
  AttachmentWatch attachments;
  std::string deny_problem;               ///< why the deny list was not taken over, the last time
  std::string host_ports_failure;         ///< of the last look at them, which is logged once
  sd_event_source* write_down = nullptr;  ///< a timer that is set while something has to be written down

  Result<void> reload() {
    NodeConfig wanted = TRY(NodeConfig::read(root));
    const program::LoadReport report = TRY(program::load(root, wanted));
    config = std::move(wanted);
    for (const std::string& warning : report.warnings) spdlog::warn("msg=\"{}\"", warning);
    using Outcome = program::LoadReport::Outcome;
    if (report.outcome == Outcome::kLoaded) objects.maps_are_new();
    spdlog::info("msg=\"datapath {}\" hooks={}",
                 report.outcome == Outcome::kUnchanged ? "is in force already"
                 : report.outcome == Outcome::kLoaded  ? "loaded"
                                                       : "upgraded in place",
                 report.hooks);
    board.set_datapath({});
    listen();
    return {};
  }

  /// One time for all changes that come meanwhile, and none of them waits for it.
  void write_down_soon() const {
    int set = SD_EVENT_OFF;
    if (sd_event_source_get_enabled(write_down, &set) != 0 || set != SD_EVENT_OFF) return;
    sd_event_source_set_time_relative(write_down, kWriteDownDelayUs);
    sd_event_source_set_enabled(write_down, SD_EVENT_ONESHOT);
  }

  /// Pages that cannot be shown stop nothing.
  void listen() {
    const auto serve = [&](const char* name, const std::optional<SocketAddress>& where, HttpPages pages) {
      if (!where) return servers.stop(name);
      if (auto done = servers.serve(name, *where, std::move(pages)); !done)
        spdlog::warn("msg=\"nobody can ask for {}: {} ({}Address in sluice.yaml)\"", name, done.error().message, name);
    };
    serve("metrics", config.metrics_address,
          {{"/metrics", [shown = root, &from = board] { return metrics_page(shown, from); }}});
    serve("health", config.health_address, {{"/healthz", [&from = board] { return from.health(); }}});
  }

  /// What somebody has taken away is put back: programs of a pod's interface, or the whole datapath.
  void care() {
    auto repaired = program::repair(root, config.pod_attach);
    if (repaired.failed_with(ENOENT)) {
      spdlog::warn("msg=\"the datapath is gone: loading it again\"");
      board.set_datapath("the datapath is gone");
      if (auto loaded = reload(); !loaded) {
        spdlog::error("msg=\"{}\"", loaded.error().message);
        board.set_datapath(loaded.error().message);
      }
    } else if (!repaired) {
      spdlog::error("msg=\"look after the pods' interfaces: {}\"", repaired.error().message);
    } else if (*repaired > 0) {
      spdlog::warn("msg=\"interfaces had lost their programs: attached again\" interfaces={}", *repaired);
    }
    tell(program::repair_overlay(root, config), "look after the tunnel device");
    tell(program::repair_uplinks(root, config), "look after the uplinks");
    tell(program::repair_xdp(root, config), "look after the uplinks' XDP hooks");
    follow_deny_list();
    const auto renewed = renew_host_ports(root);
    const std::string failure = renewed ? "" : renewed.error().message;
    if (!failure.empty() && failure != host_ports_failure) spdlog::error("msg=\"look after host ports: {}\"", failure);
    host_ports_failure = failure;
    tell(program::repair_socket_hooks(root, config), "look after the hooks of sockets");
  }

  /// A list that cannot be taken over is told once, not in every round.
  void follow_deny_list() {
    const auto done = program::apply_deny_list(root);
    const std::string problem = done || done.failed_with(ENOENT) ? "" : done.error().message;
    if (!problem.empty() && problem != deny_problem) spdlog::error("msg=\"deny list: {}\"", problem);
    if (done && *done > 0) spdlog::info("msg=\"deny list taken over\" changes={}", *done);
    deny_problem = problem;
  }

  static void tell(const Result<std::vector<std::string>>& changes, const char* task) {
    if (!changes) {
      spdlog::error("msg=\"{}: {}\"", task, changes.error().message);
      return;
    }
    for (const std::string& change : *changes) spdlog::warn("msg=\"{}\"", change);
  }
};

int on_care(sd_event_source* timer, std::uint64_t /*now*/, void* agent) {
  auto* self = static_cast<Agent*>(agent);
  self->board.beat();
  self->care();
  self->objects.take(self->config);
  self->objects.look_again();
  self->objects.apply(self->config);
  self->write_down_soon();
  return sd_event_source_set_time_relative(timer, kCareIntervalUs);
}

int on_objects(sd_event_source* /*source*/, int /*fd*/, std::uint32_t /*events*/, void* agent) {
  auto* self = static_cast<Agent*>(agent);
  self->objects.take(self->config);
  self->write_down_soon();
  return 0;
}

int on_attachments(sd_event_source* /*source*/, int /*fd*/, std::uint32_t /*events*/, void* agent) {
  auto* self = static_cast<Agent*>(agent);
  self->attachments.drain();
  self->objects.pods_changed(self->config);
  self->write_down_soon();
  return 0;
}

int on_write_down(sd_event_source* /*timer*/, std::uint64_t /*now*/, void* agent) {
  static_cast<Agent*>(agent)->objects.write_down();
  return 0;
}

int on_hangup(sd_event_source* /*source*/, const signalfd_siginfo* /*info*/, void* agent) {
  auto* self = static_cast<Agent*>(agent);
  if (auto done = self->reload(); !done)
    spdlog::error("msg=\"configuration not taken over, the former one stays in force: {}\"", done.error().message);
  self->objects.look_again();
  self->objects.apply(self->config);
  return 0;
}

void log_to_stderr() {
  auto logger = spdlog::stderr_logger_mt("sluiced");
  logger->set_pattern("time=%Y-%m-%dT%H:%M:%S.%e%z level=%l %v");
  spdlog::set_default_logger(std::move(logger));
}

/// For the event loop, which reads them; in threads, too, that are started from here on.
void block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

Result<void> add_sources(sd_event* event, Agent& agent) {
  // Without a handler, a signal ends the loop.
  for (const int signal : {SIGTERM, SIGINT})
    if (const int err = sd_event_add_signal(event, nullptr, signal, nullptr, nullptr); err < 0)
      return fail(-err, "wait for signals");
  if (const int err = sd_event_add_signal(event, nullptr, SIGHUP, on_hangup, &agent); err < 0)
    return fail(-err, "wait for SIGHUP");

  if (const int err = sd_event_add_io(event, nullptr, agent.objects.fd(), EPOLLIN, on_objects, &agent); err < 0)
    return fail(-err, "watch the objects");
  if (const int err = sd_event_add_io(event, nullptr, agent.attachments.fd(), EPOLLIN, on_attachments, &agent); err < 0)
    return fail(-err, "watch the attachments");

  sd_event_source* timer = nullptr;
  if (const int err =
          sd_event_add_time_relative(event, &timer, CLOCK_MONOTONIC, kCareIntervalUs, kCareAccuracyUs, on_care, &agent);
      err < 0)
    return fail(-err, "start a timer");
  sd_event_source_set_enabled(timer, SD_EVENT_ON);
  sd_event_source_set_floating(timer, 1);
  sd_event_source_unref(timer);
  if (const int err = sd_event_add_time_relative(event, &agent.write_down, CLOCK_MONOTONIC, kWriteDownDelayUs,
                                                 kWriteDownAccuracyUs, on_write_down, &agent);
      err < 0)
    return fail(-err, "start a timer");
  sd_event_source_set_enabled(agent.write_down, SD_EVENT_OFF);
  sd_event_source_set_floating(agent.write_down, 1);
  sd_event_source_unref(agent.write_down);
  if (const int err = sd_event_set_watchdog(event, 1); err < 0) return fail(-err, "start the watchdog");
  return {};
}

}  // namespace

Result<void> run(const Root& root) {
  log_to_stderr();
  block_signals();
  StatusBoard board;
  HttpServers servers = TRY(HttpServers::open());
  Agent agent{.root = root,
              .config = {},
              .board = board,
              .servers = servers,
              .objects = TRY(Objects::open(root, servers, board)),
              .attachments = TRY(AttachmentWatch::open(root))};
  sd_event* made = nullptr;
  if (const int err = sd_event_new(&made); err < 0) return fail(-err, "make an event loop");
  const Event event(made);
  TRY(add_sources(event.get(), agent));
  TRY(agent.reload());
  agent.care();
  agent.objects.take(agent.config);
  agent.objects.write_down();
  sd_notify(0, "READY=1");
  const int status = sd_event_loop(event.get());
  sd_notify(0, "STOPPING=1");
  if (status < 0) return fail(-status, "event loop");
  spdlog::info("msg=\"stopped; the datapath stays in force\"");
  return {};
}

}  // namespace sluice::loader::agent
