// Real sockets through the datapath while it is changed.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "loader/program/lifecycle.hpp"
#include "tests/loader/node.hpp"
#include "tests/loader/pod.hpp"

using namespace sluice;          // NOLINT(google-build-using-namespace)
using namespace sluice::loader;  // NOLINT(google-build-using-namespace)
using namespace sluice::test;    // NOLINT(google-build-using-namespace)

namespace {

constexpr int kClients = 16;
constexpr int kUpgrades = 100;
constexpr std::uint16_t kPort = 8080;
constexpr std::uint64_t kEnoughTransactions = 1000;

/// Shared between the test and the processes that it starts.
struct Shared {
  std::atomic<bool> listening = false;
  std::atomic<bool> stop_clients = false;
  std::atomic<bool> stop_server = false;
  std::atomic<std::uint64_t> transactions = 0;
  std::atomic<std::uint64_t> failures = 0;
};

struct Unmap {
  void operator()(Shared* shared) const { munmap(shared, sizeof(*shared)); }
};

std::unique_ptr<Shared, Unmap> make_shared_memory() {
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  return std::unique_ptr<Shared, Unmap>(new (memory) Shared);
}

sockaddr_in6 socket_address(const char* text) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(kPort);
  inet_pton(AF_INET6, text, &address.sin6_addr);
  return address;
}

/// Answers each byte by a byte, to any number of clients, until the test stops it.
bool serve(Shared& shared) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const Fd listener(socket(AF_INET6, SOCK_STREAM, 0));
  const int on = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const sockaddr_in6 any = socket_address("::");
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&any), sizeof(any)) != 0 ||
      listen(listener.get(), 64) != 0)
    return false;
  shared.listening = true;
  std::vector<pollfd> sockets = {{listener.get(), POLLIN, 0}};
  while (!shared.stop_server) {
    if (poll(sockets.data(), sockets.size(), 50) <= 0) continue;
    if (sockets[0].revents != 0) sockets.push_back({accept(listener.get(), nullptr, nullptr), POLLIN, 0});
    for (std::size_t i = sockets.size() - 1; i > 0; i--) {
      char byte = 0;
      if (sockets[i].revents == 0) continue;
      if (recv(sockets[i].fd, &byte, 1, 0) == 1 && send(sockets[i].fd, &byte, 1, MSG_NOSIGNAL) == 1) continue;
      close(sockets[i].fd);
      sockets.erase(sockets.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  return true;
}

/// A connection that gives up after two seconds of silence.
Fd connect_to(const sockaddr_in6& server) {
  Fd client(socket(AF_INET6, SOCK_STREAM, 0));
  const timeval patience{2, 0};
  const int on = 1;
  setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  setsockopt(client.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  const linger reset{1, 0};  // no TIME-WAIT: thousands of connections would use up the ports
  setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  if (connect(client.get(), reinterpret_cast<const sockaddr*>(&server), sizeof(server)) != 0) return Fd(-1);
  return client;
}

bool exchange(const Fd& client) {
  char byte = 'x';
  return client.get() >= 0 && send(client.get(), &byte, 1, MSG_NOSIGNAL) == 1 && recv(client.get(), &byte, 1, 0) == 1;
}

/// Transactions until the test stops it: on one connection, or each on its own.
bool demand(Shared& shared, const sockaddr_in6& server, bool reconnect) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Fd client = connect_to(server);
  while (!shared.stop_clients) {
    if (exchange(client)) {
      shared.transactions++;
      if (reconnect) client = connect_to(server);
    } else {
      shared.failures++;
      client = connect_to(server);
    }
  }
  return true;
}

/// Waits until it is so, at most ten seconds.
template <typename Condition>
void wait_until(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK(condition());
}

NodeConfig config_of_round(int round) {
  NodeConfig config;
  config.maps = {.flows = 16384, .endpoints = 64, .fragments = 64};
  config.socket_balancing = false;
  config.timeouts.udp_established = std::chrono::seconds(60 + round % 2);
  return config;
}

}  // namespace

TEST_CASE(
    "a hundred upgrades in a row, of both kinds of hooks and under the load of sixteen processes, fail no "
    "transaction") {
  Node node;
  must(program::load(node.root(), config_of_round(0)));
  auto datapath = must(program::Datapath::open(node.root()));
  const Pod client(node, datapath, "sluclient", "10.0.0.5", "fd00::5", AttachMode::kClsact);
  const Pod server(node, datapath, "sluserver", "10.0.0.6", "fd00::6", AttachMode::kTcx);
  const auto shared = make_shared_memory();

  const pid_t serving = server.start([&] { return serve(*shared); });
  wait_until([&] { return shared->listening.load(); });
  std::vector<pid_t> children;
  for (int i = 0; i < kClients; i++) {
    const auto address = socket_address(i % 2 == 0 ? "::ffff:10.0.0.6" : "fd00::6");
    children.push_back(client.start([&, i, address] { return demand(*shared, address, i % 4 < 2); }));
  }
  wait_until([&] { return shared->transactions >= kEnoughTransactions; });

  for (int round = 1; round <= kUpgrades; round++) {
    const auto report = must(program::load(node.root(), config_of_round(round)));
    REQUIRE(report.outcome == program::LoadReport::Outcome::kUpgraded);
    REQUIRE(report.hooks == 4);
  }
  const std::uint64_t during = shared->transactions;
  wait_until([&] { return shared->transactions >= during + kEnoughTransactions; });
  shared->stop_clients = true;
  for (const pid_t child : children) CHECK(exit_status(child) == 0);
  shared->stop_server = true;
  CHECK(exit_status(serving) == 0);
  CHECK(shared->failures.load() == 0);
  MESSAGE("transactions: ", shared->transactions.load());
}
