#include "tests/e2e/socket.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

namespace sluice::e2e {

namespace {

constexpr timeval kPatience{2, 0};

struct Endpoint {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);

  Endpoint() = default;
  /// In the form of an IPv4 or IPv6 socket; of the latter `address` may be either.
  Endpoint(const Address& address, std::uint16_t port, bool as_v4) {
    if (as_v4) {
      auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
      v4.sin_family = AF_INET;
      v4.sin_port = htons(port);
      std::memcpy(&v4.sin_addr, address.bytes(), sizeof v4.sin_addr);
      size = sizeof v4;
    } else {
      auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(port);
      const auto wire = address.wire();
      std::memcpy(&v6.sin6_addr, &wire, sizeof v6.sin6_addr);
      size = sizeof v6;
    }
  }

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] bool v4() const { return storage.ss_family == AF_INET; }
  [[nodiscard]] Address address() const {
    return v4() ? Address::from_bytes(&reinterpret_cast<const sockaddr_in&>(storage).sin_addr, true)
                : Address::from_bytes(&reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr, false);
  }
  // The port lies at the same place in both.
  [[nodiscard]] std::uint16_t port() const { return ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port); }
};

/// A socket has the control group of the process that makes it. So a child makes it, which starts in the group and
/// shares our descriptors.
Result<Fd> open_in_group(const Home& home, int family, int type) {
  const Fd group(::open(home.cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (group.get() < 0) return fail(errno, "open control group " + home.cgroup.string());
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(errno, "open pipe");
  const Fd from(ends[0]), to(ends[1]);
  clone_args how{};
  how.flags = CLONE_FILES | CLONE_INTO_CGROUP;
  how.exit_signal = SIGCHLD;
  how.cgroup = static_cast<std::uint64_t>(group.get());
  const auto child = static_cast<pid_t>(::syscall(SYS_clone3, &how, sizeof how));
  if (child < 0) return fail(errno, "start a process in control group " + home.cgroup.string());
  if (child == 0) {
    int made = ::setns(home.netns.fd(), CLONE_NEWNET) == 0 ? ::socket(family, type, 0) : -1;
    if (made < 0) made = -errno;
    (void)!::write(to.get(), &made, sizeof made);
    ::_exit(0);
  }
  int made = -EPIPE;
  (void)!::read(from.get(), &made, sizeof made);
  ::waitpid(child, nullptr, 0);
  if (made < 0) return fail(-made, "open socket in control group " + home.cgroup.string());
  return Fd(made);
}

Result<Fd> open_in(const Home& home, int family, int type) {
  if (!home.cgroup.empty()) return open_in_group(home, family, type);
  int fd = -1;
  TRY(home.netns.run([&]() -> Result<void> {
    fd = ::socket(family, type, 0);
    if (fd < 0) return fail(errno, "open socket");
    return {};
  }));
  return Fd(fd);
}

}  // namespace

Result<Socket> Socket::open(const Home& home, bool v4, int type) {
  Socket opened(TRY(open_in(home, v4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC)), v4);
  const int fd = opened.fd_.get();
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  const int transparent = v4 ? ::setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on)
                             : ::setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof on);
  if (transparent != 0) return fail(errno, "IP_TRANSPARENT");
  return opened;
}

Result<Socket> Socket::udp(const Home& home, const Address& address, std::uint16_t port) {
  auto socket = TRY(open(home, address.is_v4(), SOCK_DGRAM));
  const Endpoint own(address, port, socket.v4_);
  if (::bind(socket.fd_.get(), own.get(), own.size) != 0) return fail(errno, "bind " + address.text());
  return socket;
}

Result<Socket> Socket::udp_for(const Home& home, const Address& to, Family family) {
  return open(home, to.is_v4() && family == Family::kOwn, SOCK_DGRAM);
}

Result<Socket> Socket::tcp_listener(const Home& home, const Address& address, std::uint16_t port) {
  auto socket = TRY(open(home, address.is_v4(), SOCK_STREAM));
  const Endpoint own(address, port, socket.v4_);
  const int yes = 1;  // a connection of the listener before may not have ended yet
  if (::setsockopt(socket.fd_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0)
    return fail(errno, "set SO_REUSEADDR");
  if (::bind(socket.fd_.get(), own.get(), own.size) != 0) return fail(errno, "bind " + address.text());
  if (::listen(socket.fd_.get(), 16) != 0) return fail(errno, "listen");
  return socket;
}

Result<Socket> Socket::tcp_connected(const Home& home, const Address& to, std::uint16_t port, Family family) {
  auto socket = TRY(open(home, to.is_v4() && family == Family::kOwn, SOCK_STREAM));
  TRY(socket.connect(to, port));
  return socket;
}

Result<std::uint16_t> Socket::port() const {
  Endpoint own;
  if (::getsockname(fd_.get(), own.get(), &own.size) != 0) return fail(errno, "getsockname");
  return own.port();
}

Result<Correspondent> Socket::peer() const {
  Endpoint there;
  if (::getpeername(fd_.get(), there.get(), &there.size) != 0) return fail(errno, "getpeername");
  return Correspondent{there.address(), there.port()};
}

Result<std::pair<Socket, Address>> Socket::accept() const {
  Endpoint from;
  const int fd = ::accept4(fd_.get(), from.get(), &from.size, SOCK_CLOEXEC);
  if (fd < 0) return fail(errno, "accept");
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  return std::pair{Socket(Fd(fd), v4_), from.address()};
}

Result<std::pair<Socket, Address>> Socket::accept_now() const {
  pollfd waiting{fd_.get(), POLLIN, 0};
  if (::poll(&waiting, 1, 0) != 1) return refuse(EAGAIN, "accept: nobody has connected");
  return accept();
}

Result<void> Socket::connect(const Address& to, std::uint16_t port) {
  const Endpoint there(to, port, v4_);
  if (::connect(fd_.get(), there.get(), there.size) != 0) return fail(errno, "connect to " + to.text());
  return {};
}

Result<void> Socket::forbid_fragments() {
  // NOLINTNEXTLINE(bugprone-branch-clone): each family has its constant, though the number is one
  const int always = v4_ ? IP_PMTUDISC_DO : IPV6_PMTUDISC_DO;
  if ((v4_ ? ::setsockopt(fd_.get(), IPPROTO_IP, IP_MTU_DISCOVER, &always, sizeof always)
           : ::setsockopt(fd_.get(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, &always, sizeof always)) != 0) {
    return fail(errno, "MTU_DISCOVER");
  }
  return {};
}

Result<void> Socket::receive_buffer(int bytes) {
  if (::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0) return fail(errno, "SO_RCVBUF");
  return {};
}

Result<int> Socket::path_mtu() const {
  int mtu = 0;
  socklen_t size = sizeof mtu;
  if ((v4_ ? ::getsockopt(fd_.get(), IPPROTO_IP, IP_MTU, &mtu, &size)
           : ::getsockopt(fd_.get(), IPPROTO_IPV6, IPV6_MTU, &mtu, &size)) != 0) {
    return fail(errno, "MTU");
  }
  return mtu;
}

Result<void> Socket::send(const std::string& data) const {
  for (std::size_t sent = 0; sent < data.size();) {
    const auto length = ::send(fd_.get(), data.data() + sent, data.size() - sent, MSG_NOSIGNAL);
    if (length < 0) return fail(errno, "send");
    sent += static_cast<std::size_t>(length);
  }
  return {};
}

Result<void> Socket::send_to(const std::string& data, const Address& to, std::uint16_t port) const {
  const Endpoint there(to, port, v4_);
  if (::sendto(fd_.get(), data.data(), data.size(), 0, there.get(), there.size) < 0) {
    return fail(errno, "send to " + to.text());
  }
  return {};
}

Result<Datagram> Socket::receive(int flags) const {
  static thread_local std::vector<char> buffer(65536);
  Endpoint from;
  const auto length = ::recvfrom(fd_.get(), buffer.data(), buffer.size(), flags, from.get(), &from.size);
  if (length < 0) return fail(errno, "receive");
  return Datagram{std::string(buffer.data(), static_cast<std::size_t>(length)), from.address(), from.port()};
}

Result<Datagram> Socket::receive() const { return receive(0); }
Result<Datagram> Socket::receive_now() const { return receive(MSG_DONTWAIT); }

Result<std::string> Socket::read(std::size_t size) const {
  std::string data(size, '\0');
  for (std::size_t got = 0; got < size;) {
    const auto length = ::recv(fd_.get(), data.data() + got, size - got, 0);
    if (length < 0) return fail(errno, "read");
    if (length == 0) return refuse(ENODATA, "the stream ended after " + std::to_string(got) + " bytes");
    got += static_cast<std::size_t>(length);
  }
  return data;
}

}  // namespace sluice::e2e
