/// Addresses, prefixes and MACs as C++ values: text to struct addr and back.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "maps/result.hpp"
#include "maps/types.h"

namespace sluice {

/// An IPv4 or IPv6 address. IPv4 is held as ::ffff:a.b.c.d, as in the maps.
class Address {
 public:
  Address() = default;  ///< The unspecified IPv6 address, `::`.
  explicit Address(const maps::addr& wire) : wire_(wire) {}

  /// EINVAL: not an address. Takes "10.0.0.1" and "fd00::1", no zone, no prefix length. "::ffff:10.0.0.1" is 10.0.0.1.
  static Result<Address> parse(std::string_view text);
  /// From the 4 (IPv4) or 16 (IPv6) bytes of a packet or a netlink attribute.
  static Address from_bytes(const void* bytes, bool v4);

  [[nodiscard]] bool is_v4() const;
  [[nodiscard]] std::string text() const;  ///< RFC 5952.
  [[nodiscard]] const maps::addr& wire() const { return wire_; }
  /// The address as on the wire: 4 bytes for IPv4, 16 for IPv6.
  [[nodiscard]] const unsigned char* bytes() const;
  [[nodiscard]] unsigned bytes_size() const { return is_v4() ? 4 : 16; }
  /// The 128 bits as a big-endian number: arithmetic on addresses (IPAM) goes through this.
  [[nodiscard]] unsigned __int128 number() const;
  static Address from_number(unsigned __int128 number);

  bool operator==(const Address& other) const { return number() == other.number(); }
  std::strong_ordering operator<=>(const Address& other) const;

 private:
  maps::addr wire_{};
};

/// An address block. `length` counts bits of the family: 0..32 for IPv4, 0..128 for IPv6.
struct Prefix {
  Address address;
  unsigned length = 0;

  /// "10.244.1.0/24" or "fd00::/64"; a bare address is a block of one. EINVAL: not a block. Host bits are kept.
  static Result<Prefix> parse(std::string_view text);
  /// The block of one address.
  static Prefix host(const Address& address) { return {address, address.is_v4() ? 32U : 128U}; }

  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool contains(const Address& other) const;
  [[nodiscard]] Address first() const;  ///< Host bits all zero.
  [[nodiscard]] Address last() const;   ///< Host bits all one.
  bool operator==(const Prefix&) const = default;
};

/// Where a server listens.
struct SocketAddress {
  Address address;
  std::uint16_t port = 0;

  /// "127.0.0.1:80" or "[::1]:80". EINVAL: not that, or port 0.
  static Result<SocketAddress> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  bool operator==(const SocketAddress&) const = default;
};

/// An Ethernet address.
struct Mac {
  std::array<std::uint8_t, 6> bytes{};

  /// "02:00:00:00:00:01". EINVAL: not a MAC.
  static Result<Mac> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  bool operator==(const Mac&) const = default;
};

}  // namespace sluice
