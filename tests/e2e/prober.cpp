#include "tests/e2e/prober.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>

namespace sluice::e2e {

using test::TruthProbe;

namespace {

constexpr std::chrono::seconds kPatience{5};
/// After all that is wanted has come: what was sent before it and is not wanted would have come by then.
constexpr std::chrono::milliseconds kGrace{10};

/// What a datagram carries there and back.
struct Mark {
  std::uint32_t round, probe;
};

std::pair<sockaddr_storage, socklen_t> endpoint(const Address& address, std::uint16_t port) {
  sockaddr_storage storage{};
  if (address.is_v4()) {
    auto& in = reinterpret_cast<sockaddr_in&>(storage);
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, address.bytes(), address.bytes_size());
    return {storage, sizeof in};
  }
  auto& in6 = reinterpret_cast<sockaddr_in6&>(storage);
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(port);
  std::memcpy(&in6.sin6_addr, address.bytes(), address.bytes_size());
  return {storage, sizeof in6};
}

/// Bound to the place's own address, and never waiting. In the place's namespace.
Result<Fd> bound(const Address& address, int type, std::uint16_t port) {
  const int fd = ::socket(address.is_v4() ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fail(errno, "open socket");
  Fd socket(fd);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const auto [where, size] = endpoint(address, port);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&where), size) != 0) return fail(errno, "bind " + address.text());
  if (type == SOCK_STREAM && port != 0 && ::listen(fd, 256) != 0) return fail(errno, "listen");
  return socket;
}

std::optional<Mark> receive_mark(int fd, sockaddr_storage& from, socklen_t& size) {
  Mark mark{};
  size = sizeof from;
  if (::recvfrom(fd, &mark, sizeof mark, 0, reinterpret_cast<sockaddr*>(&from), &size) != sizeof mark) return {};
  return mark;
}

}  // namespace

struct Prober::Try {
  std::optional<Fd> connection;  ///< of TCP, until it is decided
  bool arrived = false, through = false;
};

Prober::Prober(Places places, const std::vector<std::uint16_t>& ports) : places_(std::move(places)) {
  for (const auto& [name, place] : places_) {
    must(place->netns.run([&]() -> Result<void> {
      for (const bool v4 : {true, false}) {
        clients_[name].udp.emplace(v4, TRY(bound(place->address(v4), SOCK_DGRAM, 0)));
        for (const std::uint16_t port : ports)
          servers_.push_back(
              {TRY(bound(place->address(v4), SOCK_DGRAM, port)), TRY(bound(place->address(v4), SOCK_STREAM, port))});
      }
      return {};
    }));
  }
}

void Prober::send(const std::vector<TruthProbe>& probes, std::vector<Try>& tries) {
  for (const auto& [name, place] : places_) {
    must(place->netns.run([&]() -> Result<void> {
      for (std::uint32_t i = 0; i < probes.size(); i++) {
        const TruthProbe& probe = probes[i];
        if (probe.from != name) continue;
        const auto [to, size] = endpoint(places_.at(probe.to)->address(probe.v4), probe.port);
        const auto* there = reinterpret_cast<const sockaddr*>(&to);
        if (probe.proto == IPPROTO_UDP) {
          const Mark mark{round_, i};
          if (::sendto(clients_.at(name).udp.at(probe.v4).get(), &mark, sizeof mark, 0, there, size) != sizeof mark)
            return fail(errno, "send " + probe.text());
          continue;
        }
        tries[i].connection = TRY(bound(place->address(probe.v4), SOCK_STREAM, 0));
        if (::connect(tries[i].connection->get(), there, size) != 0 && errno != EINPROGRESS)
          return fail(errno, "connect " + probe.text());
      }
      return {};
    }));
  }
}

void Prober::receive(std::vector<Try>& tries) {
  sockaddr_storage from{};
  socklen_t size = 0;
  for (const Server& server : servers_) {
    while (const auto mark = receive_mark(server.udp.get(), from, size)) {
      if (mark->round != round_) late_ += "a datagram of an earlier table came late\n";
      if (mark->round != round_ || mark->probe >= tries.size()) continue;
      tries[mark->probe].arrived = true;
      (void)::sendto(server.udp.get(), &*mark, sizeof *mark, 0, reinterpret_cast<const sockaddr*>(&from), size);
    }
    // The connections are looked at where they begin.
    for (int fd = 0; (fd = ::accept4(server.listener.get(), nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) ::close(fd);
  }
  for (const auto& [name, client] : clients_)
    for (const auto& [v4, socket] : client.udp)
      while (const auto mark = receive_mark(socket.get(), from, size))
        if (mark->round == round_ && mark->probe < tries.size()) tries[mark->probe].through = true;
  for (Try& one : tries) {
    if (!one.connection) continue;
    pollfd ready{one.connection->get(), POLLOUT, 0};
    if (::poll(&ready, 1, 0) <= 0) continue;
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(one.connection->get(), SOL_SOCKET, SO_ERROR, &error, &length);
    one.arrived = one.through = error == 0;
    const linger abort{1, 0};  // no TIME_WAIT
    ::setsockopt(one.connection->get(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    one.connection.reset();
  }
}

std::string Prober::differences(const std::vector<TruthProbe>& probes, const std::vector<bool>& want) {
  round_++;
  std::vector<Try> tries(probes.size());
  send(probes, tries);
  (void)within(kPatience, [&] {
    receive(tries);
    for (std::size_t i = 0; i < tries.size(); i++)
      if (want[i] && !tries[i].through) return false;
    return true;
  });
  std::this_thread::sleep_for(kGrace);
  receive(tries);
  std::string lines = std::exchange(late_, {});
  for (std::size_t i = 0; i < tries.size(); i++) {
    if (want[i] ? tries[i].through : !tries[i].arrived) continue;
    lines += probes[i].text() + (!want[i]           ? ": got through\n"
                                 : tries[i].arrived ? ": no answer\n"
                                                    : ": did not arrive\n");
  }
  return lines;
}

}  // namespace sluice::e2e
