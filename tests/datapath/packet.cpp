#include "tests/datapath/packet.hpp"

#include <netinet/in.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace sluice::test {
namespace {

constexpr std::uint16_t kIpv4 = 0x0800, kIpv6 = 0x86dd, kArp = 0x0806, kVlan = 0x8100;
constexpr std::uint8_t kAuthentication = 51, kFragmentHeader = 44;

template <typename T>
T sure(Result<T> result) {
  if (result) return *std::move(result);
  std::fprintf(stderr, "a test's own text is wrong: %s\n", result.error().message.c_str());
  std::abort();
}

void put8(Bytes& out, unsigned value) { out.push_back(static_cast<std::uint8_t>(value)); }
void put16(Bytes& out, unsigned value) {
  put8(out, value >> 8);
  put8(out, value);
}
void put32(Bytes& out, std::uint32_t value) {
  put16(out, value >> 16);
  put16(out, value);
}
void put(Bytes& out, const Bytes& bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }
void put(Bytes& out, const Address& address) {
  out.insert(out.end(), address.bytes(), address.bytes() + address.bytes_size());
}
void put(Bytes& out, const Mac& mac) { out.insert(out.end(), mac.bytes.begin(), mac.bytes.end()); }
void set16(Bytes& out, std::size_t offset, unsigned value) {
  out[offset] = static_cast<std::uint8_t>(value >> 8);
  out[offset + 1] = static_cast<std::uint8_t>(value);
}

constexpr std::uint8_t icmp_proto(bool v4) { return v4 ? 1 : 58; }

// RFC 8200, 8.1; for IPv4 (RFC 9293, 3.1) it comes to the same sum.
Bytes pseudo_header(const Address& from, const Address& to, std::uint8_t proto, std::size_t length) {
  Bytes bytes;
  put(bytes, from);
  put(bytes, to);
  put32(bytes, static_cast<std::uint32_t>(length));
  put32(bytes, proto);
  return bytes;
}

}  // namespace

SocketAddress::SocketAddress(const char* text) {
  const std::string whole = text;
  const bool bracket = whole.front() == '[';
  const bool bare = !bracket && whole.find(':') != whole.rfind(':');
  const auto colon = bare ? std::string::npos : whole.rfind(':');
  std::string host = whole.substr(0, colon);
  if (bracket) host = host.substr(1, host.size() - 2);
  address = sure(Address::parse(host));
  if (colon != std::string::npos) port = static_cast<std::uint16_t>(std::stoi(whole.substr(colon + 1)));
}

std::uint16_t internet_checksum(const Bytes& bytes, std::uint32_t sum) {
  for (std::size_t i = 0; i < bytes.size(); i++) sum += i % 2 == 0 ? bytes[i] << 8 : bytes[i];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

std::uint32_t crc32c(const Bytes& bytes) {
  std::uint32_t crc = ~0U;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc;
}

Packet::Packet(const SocketAddress& from, const SocketAddress& to, std::uint8_t proto)
    : from_(from), to_(to), proto_(proto), flow_{from, to, proto} {}

#define WITH(statement) \
  Packet copy = *this;  \
  copy.statement;       \
  return copy
Packet Packet::from_mac(const char* mac) const { WITH(from_mac_ = sure(Mac::parse(mac))); }
Packet Packet::to_mac(const char* mac) const { WITH(to_mac_ = sure(Mac::parse(mac))); }
Packet Packet::ethertype(std::uint16_t value) const { WITH(ethertype_ = value); }
Packet Packet::vlan(std::uint16_t tci) const { WITH(vlans_.insert(copy.vlans_.begin(), tci)); }
Packet Packet::ttl(std::uint8_t hops) const { WITH(ttl_ = hops); }
Packet Packet::dont_fragment() const { WITH(dont_fragment_ = true); }
Packet Packet::options(const Bytes& bytes) const { WITH(options_ = bytes); }
Packet Packet::extension(std::uint8_t kind, const Bytes& body) const { WITH(extensions_.push_back({kind, body})); }
Packet Packet::payload(std::size_t size) const { WITH(payload_.assign(size, 0x5a)); }
Packet Packet::payload(const Bytes& bytes) const { WITH(payload_ = bytes); }
Packet Packet::gso(std::uint32_t size) const { WITH(gso_size_ = size); }
Packet Packet::cut_to(std::size_t size) const { WITH(cut_to_ = size); }
Packet Packet::byte(std::size_t offset, std::uint8_t value) const { WITH(patches_.push_back({offset, value})); }
Packet Packet::fragment(std::uint32_t id, unsigned offset, bool more) const {
  WITH(fragment_ = (Fragment{id, offset, more}));
}
#undef WITH

Packet Packet::flags(const char* letters) const {
  static const std::string order = "FSRPA";
  Packet copy = *this;
  copy.tcp_flags_ = 0;
  for (const char* letter = letters; *letter != 0; letter++)
    copy.tcp_flags_ |= static_cast<std::uint8_t>(1U << order.find(*letter));
  return copy;
}

// The header with its checksum, and the payload.
Bytes Packet::l4() const {
  Bytes out;
  std::size_t checksum = 0;
  const bool is_icmp = proto_ == icmp_proto(is_v4());
  if (is_icmp) {
    put8(out, icmp_type_);
    put8(out, icmp_code_);
    checksum = out.size();
    put16(out, 0);
    put32(out, icmp_rest_);
  } else if (proto_ == IPPROTO_TCP || proto_ == IPPROTO_UDP || proto_ == IPPROTO_SCTP) {
    put16(out, from_.port);
    put16(out, to_.port);
  }
  if (proto_ == IPPROTO_TCP) {
    put32(out, 1000);
    put32(out, tcp_flags_ & 0x10 ? 2000 : 0);
    put16(out, 5U << 12 | tcp_flags_);
    put16(out, 0x7000);
    checksum = out.size();
    put32(out, 0);
  } else if (proto_ == IPPROTO_UDP) {
    put16(out, static_cast<unsigned>(8 + payload_.size()));
    checksum = out.size();
    put16(out, 0);
  } else if (proto_ == IPPROTO_SCTP) {
    put32(out, 0x11223344);
    put32(out, 0);
  }
  put(out, payload_);
  if (proto_ == IPPROTO_SCTP) {
    const std::uint32_t crc = crc32c(out);
    std::memcpy(&out[8], &crc, sizeof(crc));  // RFC 9260, appendix A: little-endian on the wire
  } else if (checksum != 0) {
    const bool plain = is_icmp && is_v4();
    std::uint32_t sum =
        plain ? 0 : 0xffffU & ~internet_checksum(pseudo_header(from_.address, to_.address, proto_, out.size()));
    const std::uint16_t value = partial_checksum_ ? static_cast<std::uint16_t>(sum) : internet_checksum(out, sum);
    set16(out, checksum, value == 0 && proto_ == IPPROTO_UDP ? 0xffff : value);
  }
  return out;
}

Bytes Packet::ip_v4(const Bytes& l4) const {
  Bytes out;
  put8(out, static_cast<unsigned>(0x40 | (5 + options_.size() / 4)));
  put8(out, 0);
  put16(out, static_cast<unsigned>(20 + options_.size() + l4.size()));
  put16(out, fragment_ ? fragment_->id : 0);
  put16(out,
        (dont_fragment_ ? 0x4000U : 0U) | (fragment_ ? (fragment_->more ? 0x2000U : 0U) | fragment_->offset / 8 : 0U));
  put8(out, ttl_);
  put8(out, proto_);
  put16(out, 0);
  put(out, from_.address);
  put(out, to_.address);
  put(out, options_);
  set16(out, 10, internet_checksum(out));
  put(out, l4);
  return out;
}

Bytes Packet::ip_v6(const Bytes& l4) const {
  std::vector<Extension> chain = extensions_;
  if (fragment_) {
    Bytes body;
    put16(body, fragment_->offset | (fragment_->more ? 1U : 0U));
    put32(body, fragment_->id);
    chain.push_back({kFragmentHeader, body});
  }
  Bytes headers;
  for (std::size_t i = 0; i < chain.size(); i++) {
    const std::size_t size = 2 + chain[i].body.size();
    put8(headers, i + 1 < chain.size() ? chain[i + 1].kind : proto_);
    put8(headers, chain[i].kind == kFragmentHeader   ? 0
                  : chain[i].kind == kAuthentication ? static_cast<unsigned>(size / 4 - 2)
                                                     : static_cast<unsigned>(size / 8 - 1));
    put(headers, chain[i].body);
  }
  Bytes out;
  put32(out, 0x60000000);
  put16(out, static_cast<unsigned>(headers.size() + l4.size()));
  put8(out, chain.empty() ? proto_ : chain.front().kind);
  put8(out, ttl_);
  put(out, from_.address);
  put(out, to_.address);
  put(out, headers);
  put(out, l4);
  return out;
}

Bytes Packet::ip() const {
  const Bytes whole = l4();
  // A later fragment has none of the header: its bytes are payload.
  const Bytes carried = fragment_ && fragment_->offset != 0 ? payload_ : whole;
  return is_v4() ? ip_v4(carried) : ip_v6(carried);
}

std::uint16_t Packet::l3_ethertype() const { return ethertype_.value_or(is_v4() ? kIpv4 : kIpv6); }

Packet Packet::partial_checksum() const {
  Packet other = *this;
  other.partial_checksum_ = true;
  return other;
}

Packet Packet::between(const SocketAddress& from, const SocketAddress& to) const {
  Packet other = *this;
  other.from_ = from;
  other.to_ = to;
  other.flow_ = {from, to, flow_.proto};
  return other;
}

Bytes Packet::frame(const Mac& from_mac, const Mac& to_mac) const {
  Bytes out;
  put(out, to_mac_.value_or(to_mac));
  put(out, from_mac_.value_or(from_mac));
  for (const std::uint16_t tci : vlans_) {
    put16(out, kVlan);
    put16(out, tci);
  }
  put16(out, l3_ethertype());
  put(out, ip());
  for (const Patch& patch : patches_) out.at(patch.offset) = patch.value;
  if (cut_to_) out.resize(std::min(out.size(), *cut_to_));
  return out;
}

Packet udp(const SocketAddress& from, const SocketAddress& to) { return Packet(from, to, IPPROTO_UDP).payload(18); }
Packet tcp(const SocketAddress& from, const SocketAddress& to, const char* flags) {
  return Packet(from, to, IPPROTO_TCP).flags(flags);
}
Packet sctp(const SocketAddress& from, const SocketAddress& to) { return Packet(from, to, IPPROTO_SCTP).payload(16); }
Packet other(const SocketAddress& from, const SocketAddress& to, std::uint8_t proto) {
  return Packet(from, to, proto).payload(32);
}

Packet icmp(const SocketAddress& from, const SocketAddress& to, std::uint8_t type, std::uint8_t code,
            std::uint32_t rest) {
  Packet packet(from, to, icmp_proto(from.address.is_v4()));
  packet.icmp_type_ = type;
  packet.icmp_code_ = code;
  packet.icmp_rest_ = rest;
  return packet;
}

Packet ping(const SocketAddress& from, const SocketAddress& to, std::uint16_t identifier) {
  SocketAddress source = from, target = to;
  source.port = target.port = identifier;  // what the flow's key has in the place of ports
  return icmp(source, target, from.address.is_v4() ? 8 : 128, 0, std::uint32_t{identifier} << 16 | 1).payload(32);
}

Packet pong(const SocketAddress& from, const SocketAddress& to, std::uint16_t identifier) {
  SocketAddress source = from, target = to;
  source.port = target.port = identifier;
  return icmp(source, target, from.address.is_v4() ? 0 : 129, 0, std::uint32_t{identifier} << 16 | 1).payload(32);
}

Packet icmp_about(const SocketAddress& from, const SocketAddress& to, std::uint8_t type, std::uint8_t code,
                  std::uint32_t rest, const Packet& about, std::size_t quote) {
  Bytes quoted = about.ip();
  quoted.resize(std::min(quoted.size(), quote));
  Packet packet = icmp(from, to, type, code, rest).payload(quoted);
  packet.flow_ = {about.tuple().to, about.tuple().from, about.tuple().proto};
  return packet;
}

namespace {

Bytes arp(const Mac& frame_to, unsigned operation, const Mac& sender_mac, const Address& sender, const Mac& target_mac,
          const Address& target) {
  Bytes out;
  put(out, frame_to);
  put(out, sender_mac);
  put16(out, kArp);
  put16(out, 1);
  put16(out, kIpv4);
  put8(out, 6);
  put8(out, 4);
  put16(out, operation);
  put(out, sender_mac);
  put(out, sender);
  put(out, target_mac);
  put(out, target);
  return out;
}

Bytes link_layer_option(std::uint8_t kind, const Address& target, const Mac& own) {
  Bytes body;
  put(body, target);
  put8(body, kind);
  put8(body, 1);
  put(body, own);
  return body;
}

}  // namespace

Bytes arp_request(const Mac& sender_mac, const Address& sender, const Address& target) {
  return arp(Mac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, 1, sender_mac, sender, Mac{}, target);
}

Bytes arp_reply(const Mac& sender_mac, const Address& sender, const Mac& target_mac, const Address& target) {
  return arp(target_mac, 2, sender_mac, sender, target_mac, target);
}

Packet neighbour_solicitation(const char* from, const char* target, const Mac& own) {
  const Address asked = sure(Address::parse(target));
  const std::uint8_t* end = asked.bytes() + 13;
  char group[64];
  std::snprintf(group, sizeof(group), "ff02::1:ff%02x:%02x%02x", end[0], end[1], end[2]);
  char mac[18];
  std::snprintf(mac, sizeof(mac), "33:33:ff:%02x:%02x:%02x", end[0], end[1], end[2]);
  return icmp(from, group, 135, 0).payload(link_layer_option(1, asked, own)).ttl(255).to_mac(mac);
}

Packet neighbour_advertisement(const char* from, const char* to, const Mac& own) {
  return icmp(from, to, 136, 0, 0x60000000).payload(link_layer_option(2, sure(Address::parse(from)), own)).ttl(255);
}

}  // namespace sluice::test
