#include "loader/agent/http.hpp"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include "maps/fd.hpp"

namespace sluice::loader::agent {
namespace {

constexpr unsigned kConnections = 64;  // of one server
constexpr unsigned kIdleSeconds = 10;
constexpr int kTickMs = 1000;  // idle connections are closed by the tick
constexpr int kBacklog = 64;

HttpAnswer error(unsigned status, const char* words) { return {.status = status, .body = words}; }

MHD_Result queue(MHD_Connection* connection, const HttpAnswer& answer) {
  MHD_Response* response =
      MHD_create_response_from_buffer(answer.body.size(), const_cast<char*>(answer.body.data()), MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;
  (void)MHD_add_response_header(response, "Content-Type", answer.type.c_str());
  for (const auto& [name, value] : answer.headers) (void)MHD_add_response_header(response, name.c_str(), value.c_str());
  const MHD_Result queued = MHD_queue_response(connection, answer.status, response);
  MHD_destroy_response(response);
  return queued;
}

MHD_Result on_request(void* pages_of_server, MHD_Connection* connection, const char* url, const char* method,
                      const char* /*version*/, const char* /*body*/, std::size_t* body_size, void** /*state*/) {
  const auto& pages = *static_cast<const HttpPages*>(pages_of_server);
  const std::string_view verb = method;
  *body_size = 0;
  if (verb != "GET" && verb != "HEAD") return queue(connection, error(MHD_HTTP_METHOD_NOT_ALLOWED, "GET or HEAD\n"));
  auto page = pages.find(url);
  if (page == pages.end()) page = pages.find("");
  if (page == pages.end()) return queue(connection, error(MHD_HTTP_NOT_FOUND, "no such page\n"));
  return queue(connection, page->second());
}

Result<Fd> listen_at(const SocketAddress& where) {
  const std::string doing = "listen at " + where.text();
  const bool v4 = where.address.is_v4();
  const int made = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (made < 0) return fail(errno, doing);
  Fd listener(made);
  const int on = 1, off = 0;
  (void)setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_storage storage{};
  socklen_t size = 0;
  if (v4) {
    auto& address = reinterpret_cast<sockaddr_in&>(storage);
    address = {.sin_family = AF_INET, .sin_port = htons(where.port), .sin_addr = {}, .sin_zero = {}};
    std::memcpy(&address.sin_addr, where.address.bytes(), sizeof address.sin_addr);
    size = sizeof address;
  } else {
    (void)setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    auto& address = reinterpret_cast<sockaddr_in6&>(storage);
    address = {};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(where.port);
    std::memcpy(&address.sin6_addr, where.address.bytes(), sizeof address.sin6_addr);
    size = sizeof address;
  }
  if (bind(made, reinterpret_cast<const sockaddr*>(&storage), size) != 0) return fail(errno, doing);
  if (::listen(made, kBacklog) != 0) return fail(errno, doing);
  return listener;
}

struct DaemonDelete {
  void operator()(MHD_Daemon* daemon) const { MHD_stop_daemon(daemon); }  // closes the listening socket, too
};

struct Server {
  std::unique_ptr<HttpPages> pages;  // outlives the daemon, which holds a pointer to it
  std::unique_ptr<MHD_Daemon, DaemonDelete> daemon;
};

}  // namespace

struct HttpServers::State {
  Fd poll, stop_event;
  std::mutex mutex;  ///< of what follows; held while pages are made
  std::map<std::string, Server> servers;
  std::thread thread;

  State(Fd poll_fd, Fd stop_fd) : poll(std::move(poll_fd)), stop_event(std::move(stop_fd)) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    const std::uint64_t one = 1;
    if (thread.joinable()) {
      while (write(stop_event.get(), &one, sizeof one) < 0 && errno == EINTR) {
      }
      thread.join();
    }
  }

  /// The descriptors that are ready only wake it: each daemon knows what it has to do.
  void loop() {
    std::array<epoll_event, 16> ready{};
    for (;;) {
      const int count = epoll_wait(poll.get(), ready.data(), ready.size(), kTickMs);
      for (int i = 0; i < count; i++)
        if (ready[static_cast<std::size_t>(i)].data.fd == stop_event.get()) return;
      const std::lock_guard guard(mutex);
      for (const auto& [name, server] : servers) MHD_run(server.daemon.get());
    }
  }
};

HttpServers::HttpServers(std::unique_ptr<State> state) : state_(std::move(state)) {}
HttpServers::HttpServers(HttpServers&&) noexcept = default;
HttpServers& HttpServers::operator=(HttpServers&&) noexcept = default;
HttpServers::~HttpServers() = default;

Result<HttpServers> HttpServers::open() {
  const std::string doing = "prepare the HTTP servers";
  const int poll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (poll_fd < 0) return fail(errno, doing);
  Fd poll(poll_fd);
  const int stop_fd = eventfd(0, EFD_CLOEXEC);
  if (stop_fd < 0) return fail(errno, doing);
  Fd stop(stop_fd);
  epoll_event event{.events = EPOLLIN, .data = {.fd = stop.get()}};
  if (epoll_ctl(poll.get(), EPOLL_CTL_ADD, stop.get(), &event) != 0) return fail(errno, doing);
  auto state = std::make_unique<State>(std::move(poll), std::move(stop));
  state->thread = std::thread([self = state.get()] { self->loop(); });
  return HttpServers(std::move(state));
}

Result<void> HttpServers::serve(const std::string& name, const SocketAddress& where, HttpPages pages) {
  stop(name);
  Fd listener = TRY(listen_at(where));
  Server server{std::make_unique<HttpPages>(std::move(pages)), nullptr};
  server.daemon.reset(MHD_start_daemon(MHD_USE_EPOLL, 0, nullptr, nullptr, on_request, server.pages.get(),
                                       MHD_OPTION_LISTEN_SOCKET, listener.get(), MHD_OPTION_CONNECTION_LIMIT,
                                       kConnections, MHD_OPTION_CONNECTION_TIMEOUT, kIdleSeconds, MHD_OPTION_END));
  if (!server.daemon) return fail(errno != 0 ? errno : EINVAL, "start the HTTP server at " + where.text());
  (void)listener.release();
  const MHD_DaemonInfo* info = MHD_get_daemon_info(server.daemon.get(), MHD_DAEMON_INFO_EPOLL_FD);
  if (info == nullptr) return refuse(ENOTSUP, "libmicrohttpd has no epoll: HTTP server at " + where.text());
  epoll_event event{.events = EPOLLIN, .data = {.fd = info->epoll_fd}};
  const std::lock_guard guard(state_->mutex);
  if (epoll_ctl(state_->poll.get(), EPOLL_CTL_ADD, info->epoll_fd, &event) != 0)
    return fail(errno, "watch the HTTP server at " + where.text());
  state_->servers[name] = std::move(server);
  return {};
}  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): `server` owns its pages, also where it is given up

void HttpServers::stop(const std::string& name) {
  const std::lock_guard guard(state_->mutex);
  state_->servers.erase(name);  // the daemon's epoll descriptor leaves ours as it is closed
}

}  // namespace sluice::loader::agent
