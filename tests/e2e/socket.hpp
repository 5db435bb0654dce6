/// Sockets inside nodes and pods. Each call ends after two seconds at the latest.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "loader/net/netns.hpp"
#include "maps/address.hpp"
#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::e2e {

struct Datagram {
  std::string data;
  Address from;
  std::uint16_t port = 0;
};

/// Where a socket is made. It stays there for life.
struct Home {
  Home(const loader::net::Netns& where) : netns(where) {}  // NOLINT(google-explicit-constructor)
  Home(const loader::net::Netns& where, std::filesystem::path group) : netns(where), cgroup(std::move(group)) {}

  const loader::net::Netns& netns;
  std::filesystem::path cgroup;  ///< the control group whose hooks it has; empty: the calling process's
};

/// By itself a socket has the family of the address that it is made for. An IPv6 socket talks IPv4 as well, to
/// ::ffff:a.b.c.d (RFC 3493, 3.7).
enum class Family { kOwn, kIpv6 };

struct Correspondent {
  Address address;
  std::uint16_t port = 0;
  bool operator==(const Correspondent&) const = default;
};

class Socket {
 public:
  /// A UDP socket bound to this address and port (0: any). The address need not be the namespace's own
  /// (IP_TRANSPARENT).
  static Result<Socket> udp(const Home& home, const Address& address, std::uint16_t port = 0);
  /// One that is not bound yet, to send to `to`.
  static Result<Socket> udp_for(const Home& home, const Address& to, Family family = Family::kOwn);
  static Result<Socket> tcp_listener(const Home& home, const Address& address, std::uint16_t port = 0);
  static Result<Socket> tcp_connected(const Home& home, const Address& to, std::uint16_t port,
                                      Family family = Family::kOwn);

  [[nodiscard]] Result<std::uint16_t> port() const;
  /// Whom it is connected to, as it is told.
  [[nodiscard]] Result<Correspondent> peer() const;
  /// The next connection and where it comes from.
  Result<std::pair<Socket, Address>> accept() const;
  /// EAGAIN: none has come.
  [[nodiscard]] Result<std::pair<Socket, Address>> accept_now() const;
  /// Gives a UDP socket one correspondent, whose ICMP errors are then this socket's errors.
  Result<void> connect(const Address& to, std::uint16_t port);
  /// Never sends fragments: what is too large for the path as far as it is known is refused with EMSGSIZE.
  Result<void> forbid_fragments();
  /// Room for `bytes` that have come and were not read yet.
  Result<void> receive_buffer(int bytes);
  /// The path's MTU as far as it is known; of a connected socket.
  [[nodiscard]] Result<int> path_mtu() const;

  Result<void> send(const std::string& data) const;
  Result<void> send_to(const std::string& data, const Address& to, std::uint16_t port) const;
  Result<Datagram> receive() const;
  /// Reads a stream until `size` bytes are there.
  [[nodiscard]] Result<std::string> read(std::size_t size) const;
  /// EAGAIN: nothing has come.
  [[nodiscard]] Result<Datagram> receive_now() const;

 private:
  Socket(Fd fd, bool v4) : fd_(std::move(fd)), v4_(v4) {}
  static Result<Socket> open(const Home& home, bool v4, int type);
  [[nodiscard]] Result<Datagram> receive(int flags) const;

  Fd fd_;
  bool v4_;
};

}  // namespace sluice::e2e
