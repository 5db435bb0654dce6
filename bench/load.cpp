/// Makes traffic between two network namespaces and prints how much of it got through in a second.
///
/// One process does both sides: it forks a server and a client for each lane, each entering its namespace, and reads
/// counters that all of them share. Nothing but system calls lies between the sockets and the figure.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "maps/address.hpp"
#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr int kMaxLanes = 64;
constexpr std::uint16_t kFirstPort = 5001;  // a lane's server listens on kFirstPort + lane
constexpr std::size_t kBlock = 131072;      // bytes, of one write of a stream

struct alignas(64) Lane {
  std::atomic<std::uint64_t> done;  // transactions, or received bytes of a stream; written by one process
};

/// What the processes share.
struct Board {
  std::atomic<int> listening;
  std::atomic<bool> over;  // from here on, a connection that breaks is no failure
  std::array<Lane, kMaxLanes> lanes;
};

struct Plan {
  std::string workload;
  std::string client_netns, server_netns;
  Address address;  ///< the server's own
  Address through;  ///< what clients connect to
  int processes = 16;
  double seconds = 1;
};

using Work = Result<void> (*)(const Plan&, Board&, int lane);

struct Workload {
  const char* name;
  Work server, client;
};

sockaddr_storage endpoint(const Address& address, int lane) {
  sockaddr_storage storage{};
  const auto port = htons(static_cast<std::uint16_t>(kFirstPort + lane));
  if (address.is_v4()) {
    auto& in = reinterpret_cast<sockaddr_in&>(storage);
    in.sin_family = AF_INET;
    in.sin_port = port;
    std::memcpy(&in.sin_addr, address.bytes(), address.bytes_size());
  } else {
    auto& in6 = reinterpret_cast<sockaddr_in6&>(storage);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = port;
    std::memcpy(&in6.sin6_addr, address.bytes(), address.bytes_size());
  }
  return storage;
}

Result<Fd> owned(int fd, std::string_view doing) {
  if (fd < 0) return fail(errno, doing);
  return Fd(fd);
}

/// A socket that gives up after five seconds of silence: a lost packet must end the measurement, not slow it down.
Result<Fd> make_socket(const Plan& plan, int type) {
  Fd socket = TRY(owned(::socket(plan.address.is_v4() ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0), "socket"));
  const int on = 1;
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (type == SOCK_STREAM) {
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // BBR paces by a timer, which hides what the path costs.
    if (setsockopt(socket.get(), IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) != 0) return fail(errno, "set cubic");
  }
  return socket;
}

Result<Fd> bound(const Plan& plan, Board& board, int lane, int type) {
  Fd socket = TRY(make_socket(plan, type));
  const auto where = endpoint(plan.address, lane);
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0) return fail(errno, "bind");
  if (type == SOCK_STREAM && listen(socket.get(), 128) != 0) return fail(errno, "listen");
  board.listening.fetch_add(1);
  return socket;
}

Result<Fd> connected(const Plan& plan, int lane, int type) {
  Fd socket = TRY(make_socket(plan, type));
  const auto where = endpoint(plan.through, lane);
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0)
    return fail(errno, "connect");
  return socket;
}

Result<Fd> accepted(const Fd& listener) {
  for (;;) {
    auto socket = owned(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept");
    if (socket || !(socket.failed_with(EAGAIN) || socket.failed_with(EINTR))) return socket;
  }
}

/// One byte there and one byte back.
Result<void> transact(const Fd& socket) {
  char byte = 'x';
  if (send(socket.get(), &byte, 1, 0) != 1) return fail(errno, "send a request");
  const auto got = recv(socket.get(), &byte, 1, 0);
  if (got < 0) return fail(errno, "wait for an answer");
  if (got == 0) return refuse(EPIPE, "wait for an answer: the server closed the connection");
  return {};
}

/// Answers byte by byte until the other side closes.
void answer(const Fd& socket) {
  char byte;
  while (recv(socket.get(), &byte, 1, 0) == 1 && send(socket.get(), &byte, 1, MSG_NOSIGNAL) == 1) {
  }
}

Result<void> serve_tcp(const Plan& plan, Board& board, int lane) {
  const Fd listener = TRY(bound(plan, board, lane, SOCK_STREAM));
  for (;;) answer(TRY(accepted(listener)));
}

Result<void> serve_udp(const Plan& plan, Board& board, int lane) {
  const Fd socket = TRY(bound(plan, board, lane, SOCK_DGRAM));
  for (;;) {
    char byte;
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    if (recvfrom(socket.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), &size) == 1)
      sendto(socket.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), size);
  }
}

Result<void> request_respond(const Plan& plan, Board& board, int lane, int type) {
  const Fd socket = TRY(connected(plan, lane, type));
  for (;;) {
    TRY(transact(socket));
    board.lanes[lane].done.fetch_add(1, std::memory_order_relaxed);
  }
}

Result<void> tcp_rr(const Plan& plan, Board& board, int lane) {
  return request_respond(plan, board, lane, SOCK_STREAM);
}
Result<void> udp_rr(const Plan& plan, Board& board, int lane) { return request_respond(plan, board, lane, SOCK_DGRAM); }

Result<void> tcp_crr(const Plan& plan, Board& board, int lane) {
  for (;;) {
    const Fd socket = TRY(connected(plan, lane, SOCK_STREAM));
    TRY(transact(socket));
    board.lanes[lane].done.fetch_add(1, std::memory_order_relaxed);
  }
}

Result<void> stream_from(const Plan& plan, Board&, int lane) {
  const Fd socket = TRY(connected(plan, lane, SOCK_STREAM));
  const std::vector<char> block(kBlock, 'x');
  while (send(socket.get(), block.data(), block.size(), MSG_NOSIGNAL) > 0) {
  }
  return fail(errno, "send");
}

Result<void> stream_into(const Plan& plan, Board& board, int lane) {
  const Fd listener = TRY(bound(plan, board, lane, SOCK_STREAM));
  const Fd socket = TRY(accepted(listener));
  std::vector<char> block(kBlock);
  for (;;) {
    const auto got = recv(socket.get(), block.data(), block.size(), 0);
    if (got <= 0) return fail(got < 0 ? errno : EPIPE, "receive");
    board.lanes[lane].done.fetch_add(static_cast<std::uint64_t>(got), std::memory_order_relaxed);
  }
}

constexpr std::array<Workload, 4> kWorkloads{{
    {"tcp_rr", serve_tcp, tcp_rr},
    {"tcp_crr", serve_tcp, tcp_crr},
    {"udp_rr", serve_udp, udp_rr},
    {"tcp_stream", stream_into, stream_from},
}};

Result<void> enter(const std::string& netns) {
  const Fd fd = TRY(owned(::open(netns.c_str(), O_RDONLY | O_CLOEXEC), "open " + netns));
  if (setns(fd.get(), CLONE_NEWNET) != 0) return fail(errno, "enter " + netns);
  return {};
}

/// The processes of one measurement; none outlives it.
class Crew {
 public:
  explicit Crew(Board& board) : board_(board) {}
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;
  ~Crew() {
    board_.over = true;
    for (const pid_t pid : pids_) kill(pid, SIGKILL);
    for (const pid_t pid : pids_) waitpid(pid, nullptr, 0);
  }

  /// Does `work` in a process of its own, inside `netns`. It ends by itself only where it fails, and says why.
  Result<void> start(Work work, const std::string& netns, const Plan& plan, int lane) {
    const pid_t pid = fork();
    if (pid < 0) return fail(errno, "fork");
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      auto result = enter(netns);
      if (result) result = work(plan, board_, lane);
      if (!result && !board_.over)
        std::fprintf(stderr, "bench_load: %s: %s\n", plan.workload.c_str(), result.error().message.c_str());
      _exit(1);
    }
    pids_.push_back(pid);
    return {};
  }

  [[nodiscard]] Result<void> all_at_work() const {
    for (const pid_t pid : pids_) {
      siginfo_t info{};
      if (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid)
        return refuse(ECHILD, "a process gave up");
    }
    return {};
  }

 private:
  Board& board_;
  std::vector<pid_t> pids_;
};

std::uint64_t sum(const Board& board) {
  std::uint64_t total = 0;
  for (const auto& lane : board.lanes) total += lane.done.load(std::memory_order_relaxed);
  return total;
}

/// Transactions in a second, or bytes in a second for a stream. The first 0.2 s, in which connections and the caches
/// settle, are not counted.
Result<double> measure(const Workload& workload, const Plan& plan, Board& board) {
  Crew crew(board);
  const auto deadline = Clock::now() + std::chrono::seconds(10);
  for (int lane = 0; lane < plan.processes; ++lane) TRY(crew.start(workload.server, plan.server_netns, plan, lane));
  while (board.listening.load() < plan.processes) {
    TRY(crew.all_at_work());
    if (Clock::now() > deadline) return refuse(ETIMEDOUT, "the servers did not come up within 10 s");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (int lane = 0; lane < plan.processes; ++lane) TRY(crew.start(workload.client, plan.client_netns, plan, lane));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const auto begin = Clock::now();
  const auto before = sum(board);
  std::this_thread::sleep_for(Seconds(plan.seconds));
  const auto after = sum(board);
  const Seconds elapsed = Clock::now() - begin;
  TRY(crew.all_at_work());
  if (after == before) return refuse(ENODATA, "nothing got through");
  return static_cast<double>(after - before) / elapsed.count();
}

Result<double> run(const Plan& plan) {
  void* memory = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail(errno, "mmap");
  auto* board = new (memory) Board{};
  for (const auto& workload : kWorkloads)
    if (workload.name == plan.workload) return measure(workload, plan, *board);
  return refuse(EINVAL, "no workload " + plan.workload);
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  using namespace sluice::bench;
  Plan plan;
  std::string address, through;
  CLI::App app{"Makes traffic between two network namespaces; prints transactions (or bytes of a stream) in a second."};
  app.add_option("workload", plan.workload)
      ->required()
      ->check(CLI::IsMember({"tcp_rr", "tcp_crr", "udp_rr", "tcp_stream"}));
  app.add_option("client-netns", plan.client_netns, "path of the client's namespace")->required();
  app.add_option("server-netns", plan.server_netns, "path of the server's namespace")->required();
  app.add_option("address", address, "the server's address")->required();
  app.add_option("--through", through, "what clients connect to, where it is not the server's address: a Service's");
  app.add_option("--processes", plan.processes, "on each side, default 16")->check(CLI::Range(1, kMaxLanes));
  app.add_option("--seconds", plan.seconds, "how long to count, default 1")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);

  if (through.empty()) through = address;
  for (const auto& [text, parsed] : {std::pair(&address, &plan.address), std::pair(&through, &plan.through)}) {
    const auto result = sluice::Address::parse(*text);
    if (!result) {
      std::fprintf(stderr, "bench_load: %s\n", result.error().message.c_str());
      return 2;
    }
    *parsed = *result;
  }
  const auto rate = run(plan);
  if (!rate) {
    std::fprintf(stderr, "bench_load: %s to %s: %s\n", plan.workload.c_str(), through.c_str(),
                 rate.error().message.c_str());
    return 1;
  }
  std::printf("%.0f\n", *rate);
  return 0;
}
