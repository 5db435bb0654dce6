/// Packets in words: udp("10.0.0.5:999", "10.0.0.6:53").ttl(1).cut_to(38). Builders give whole and valid frames,
/// checksums included; what is to be wrong is asked for. Text that is no address ends the test program.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "maps/address.hpp"

namespace sluice::test {

using Bytes = std::vector<std::uint8_t>;

/// "10.0.0.5:999", "[fd00::5]:999", or an address alone, whose port is 0.
struct SocketAddress {
  Address address;
  std::uint16_t port = 0;

  SocketAddress(const char* text);                                         // NOLINT(google-explicit-constructor)
  SocketAddress(const std::string& text) : SocketAddress(text.c_str()) {}  // NOLINT(google-explicit-constructor)
};

/// What a flow's key is made of, in the direction of a packet.
struct Tuple {
  SocketAddress from;
  SocketAddress to;
  std::uint8_t proto;
};

class Packet {
 public:
  Packet(const SocketAddress& from, const SocketAddress& to, std::uint8_t proto);

  // The Ethernet header. Without these, the MAC addresses are those that the sender should use.
  [[nodiscard]] Packet from_mac(const char* mac) const;
  [[nodiscard]] Packet to_mac(const char* mac) const;
  [[nodiscard]] Packet ethertype(std::uint16_t value) const;
  /// A tag in the frame, outside of those asked for before; `tci` is priority and VLAN as on the wire.
  [[nodiscard]] Packet vlan(std::uint16_t tci) const;

  // The IP header.
  [[nodiscard]] Packet ttl(std::uint8_t hops) const;  ///< or the hop limit
  [[nodiscard]] Packet dont_fragment() const;
  [[nodiscard]] Packet options(const Bytes& bytes) const;  ///< IPv4; a multiple of 4 bytes
  /// An IPv6 extension header with `body` behind its two first bytes; in all a multiple of 8 bytes (AH: of 4).
  [[nodiscard]] Packet extension(std::uint8_t kind, const Bytes& body = Bytes(6, 0)) const;
  /// Of a larger datagram, the part from `offset` on; from 0 it has the header and the ports.
  [[nodiscard]] Packet fragment(std::uint32_t id, unsigned offset, bool more = true) const;

  // What it carries.
  [[nodiscard]] Packet flags(const char* letters) const;  ///< TCP: of "FSRPA"
  [[nodiscard]] Packet payload(std::size_t size) const;
  [[nodiscard]] Packet payload(const Bytes& bytes) const;
  /// The whole is segments of `size` bytes of payload that were not cut yet.
  [[nodiscard]] Packet gso(std::uint32_t size) const;

  /// The same packet with other addresses and ports: what a translation makes of it.
  [[nodiscard]] Packet between(const SocketAddress& from, const SocketAddress& to) const;

  /// Of the checksum only the pseudo header's sum, as a sender leaves it that wants its device to do the rest.
  [[nodiscard]] Packet partial_checksum() const;

  // What makes it a bad one, done to the finished frame.
  [[nodiscard]] Packet cut_to(std::size_t size) const;
  [[nodiscard]] Packet byte(std::size_t offset, std::uint8_t value) const;

  /// The frame. `from_mac` and `to_mac` are used where none was asked for.
  [[nodiscard]] Bytes frame(const Mac& from_mac, const Mac& to_mac) const;
  [[nodiscard]] Bytes ip() const;  ///< from the IP header on
  [[nodiscard]] const Tuple& tuple() const { return flow_; }
  [[nodiscard]] std::uint32_t gso_size() const { return gso_size_; }
  [[nodiscard]] bool is_v4() const { return from_.address.is_v4(); }
  [[nodiscard]] const SocketAddress& from() const { return from_; }

 private:
  friend Packet icmp(const SocketAddress&, const SocketAddress&, std::uint8_t, std::uint8_t, std::uint32_t);
  friend Packet icmp_about(const SocketAddress&, const SocketAddress&, std::uint8_t, std::uint8_t, std::uint32_t,
                           const Packet&, std::size_t);

  [[nodiscard]] Bytes l4() const;
  [[nodiscard]] Bytes ip_v4(const Bytes& l4) const;
  [[nodiscard]] Bytes ip_v6(const Bytes& l4) const;
  [[nodiscard]] std::uint16_t l3_ethertype() const;

  struct Extension {
    std::uint8_t kind;
    Bytes body;
  };
  struct Patch {
    std::size_t offset;
    std::uint8_t value;
  };
  struct Fragment {
    std::uint32_t id;
    unsigned offset;
    bool more;
  };

  SocketAddress from_, to_;
  std::uint8_t proto_;
  Tuple flow_;
  std::optional<Mac> from_mac_, to_mac_;
  std::optional<std::uint16_t> ethertype_;
  std::vector<std::uint16_t> vlans_;
  std::uint8_t ttl_ = 64;
  bool dont_fragment_ = false;
  Bytes options_;
  std::vector<Extension> extensions_;
  std::optional<Fragment> fragment_;
  std::uint8_t tcp_flags_ = 0x10;
  std::uint8_t icmp_type_ = 0, icmp_code_ = 0;
  std::uint32_t icmp_rest_ = 0;
  Bytes payload_;
  std::uint32_t gso_size_ = 0;
  bool partial_checksum_ = false;
  std::optional<std::size_t> cut_to_;
  std::vector<Patch> patches_;
};

Packet udp(const SocketAddress& from, const SocketAddress& to);
Packet tcp(const SocketAddress& from, const SocketAddress& to, const char* flags = "A");
Packet sctp(const SocketAddress& from, const SocketAddress& to);
/// Echo request (or reply) of the family of `from`, with this identifier.
Packet ping(const SocketAddress& from, const SocketAddress& to, std::uint16_t identifier = 7);
Packet pong(const SocketAddress& from, const SocketAddress& to, std::uint16_t identifier = 7);
/// A protocol that the datapath does not look into.
Packet other(const SocketAddress& from, const SocketAddress& to, std::uint8_t proto);
/// ICMP or ICMPv6 by the family of `from`; `rest` is the second word of the header.
Packet icmp(const SocketAddress& from, const SocketAddress& to, std::uint8_t type, std::uint8_t code,
            std::uint32_t rest = 0);
/// An ICMP error that quotes the first `quote` bytes of `about` from its IP header on; it belongs to the flow of
/// `about`.
Packet icmp_about(const SocketAddress& from, const SocketAddress& to, std::uint8_t type, std::uint8_t code,
                  std::uint32_t rest, const Packet& about, std::size_t quote = 1U << 16);

/// ARP as a frame of its own: who has `target`, says `sender`.
Bytes arp_request(const Mac& sender_mac, const Address& sender, const Address& target);
Bytes arp_reply(const Mac& sender_mac, const Address& sender, const Mac& target_mac, const Address& target);
/// ICMPv6 neighbour solicitation to the target's solicited-node address, and the answer that a gateway gives.
Packet neighbour_solicitation(const char* from, const char* target, const Mac& own);
Packet neighbour_advertisement(const char* from, const char* to, const Mac& own);

/// RFC 1071, over `bytes` and of what is in `sum`.
std::uint16_t internet_checksum(const Bytes& bytes, std::uint32_t sum = 0);
std::uint32_t crc32c(const Bytes& bytes);

/// A frame in words, and what is wrong with it: lengths and checksums, also of what an ICMP error quotes. A frame that
/// ends before its checksum is covered, and a fragment's, cannot be judged and is not blamed.
struct Decoded {
  std::string text;
  std::vector<std::string> problems;
};
Decoded decode(const Bytes& frame);

}  // namespace sluice::test
