#include "maps/address.hpp"

#include <arpa/inet.h>

#include <charconv>
#include <cstdio>
#include <cstring>

namespace sluice {

namespace {

constexpr unsigned kMappedBits = 96;  // the bits of ::ffff:0:0/96 before an IPv4 address

unsigned __int128 host_bits(const Prefix& prefix) {
  unsigned bits = prefix.length + (prefix.address.is_v4() ? kMappedBits : 0);
  return bits >= 128 ? 0 : ~static_cast<unsigned __int128>(0) >> bits;
}

}  // namespace

Result<Address> Address::parse(std::string_view text) {
  const std::string copy(text);
  unsigned char bytes[16];
  if (inet_pton(AF_INET, copy.c_str(), bytes) == 1) return from_bytes(bytes, true);
  if (inet_pton(AF_INET6, copy.c_str(), bytes) == 1) return from_bytes(bytes, false);
  return refuse(EINVAL, "'" + copy + "' is not an IP address");
}

Address Address::from_bytes(const void* bytes, bool v4) {
  Address result;
  auto* words = result.wire_.word;
  if (v4) {
    words[2] = maps::be32::from_host(0xffff);
    std::memcpy(&words[3], bytes, 4);
  } else {
    std::memcpy(words, bytes, 16);
  }
  return result;
}

bool Address::is_v4() const {
  return wire_.word[0].wire == 0 && wire_.word[1].wire == 0 && wire_.word[2] == maps::be32::from_host(0xffff);
}

std::string Address::text() const {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes(), text, sizeof text);
  return text;
}

const unsigned char* Address::bytes() const {
  return reinterpret_cast<const unsigned char*>(is_v4() ? &wire_.word[3] : &wire_.word[0]);
}

unsigned __int128 Address::number() const {
  unsigned __int128 number = 0;
  for (const auto& word : wire_.word) number = number << 32 | word.to_host();
  return number;
}

Address Address::from_number(unsigned __int128 number) {
  Address result;
  for (int i = 3; i >= 0; i--, number >>= 32)
    result.wire_.word[i] = maps::be32::from_host(static_cast<std::uint32_t>(number));
  return result;
}

std::strong_ordering Address::operator<=>(const Address& other) const {
  if (number() == other.number()) return std::strong_ordering::equal;
  return number() < other.number() ? std::strong_ordering::less : std::strong_ordering::greater;
}

Result<Prefix> Prefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  auto address = Address::parse(text.substr(0, slash));
  if (!address) return refuse(EINVAL, "'" + std::string(text) + "' is not an address block");
  if (slash == std::string_view::npos) return Prefix::host(*address);
  const auto digits = text.substr(slash + 1);
  const unsigned most = address->is_v4() ? 32 : 128;
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc() || end != digits.data() + digits.size() || length > most)
    return refuse(EINVAL, "'" + std::string(text) + "' is not an address block");
  return Prefix{*address, length};
}

std::string Prefix::text() const { return address.text() + "/" + std::to_string(length); }

bool Prefix::contains(const Address& other) const {
  return address.is_v4() == other.is_v4() && first() <= other && other <= last();
}

Address Prefix::first() const { return Address::from_number(address.number() & ~host_bits(*this)); }

Address Prefix::last() const { return Address::from_number(address.number() | host_bits(*this)); }

Result<SocketAddress> SocketAddress::parse(std::string_view text) {
  const auto wrong = [&] {
    return refuse(EINVAL, "'" + std::string(text) + "' is not an address and port such as 127.0.0.1:80 or [::1]:80");
  };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong();
  auto host = text.substr(0, colon);
  const auto digits = text.substr(colon + 1);
  const bool bracketed = host.size() > 1 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = Address::parse(host);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (!address || address->is_v4() == bracketed || error != std::errc() || end != digits.data() + digits.size() ||
      port == 0)
    return wrong();
  return SocketAddress{*address, port};
}

std::string SocketAddress::text() const {
  return (address.is_v4() ? address.text() : "[" + address.text() + "]") + ":" + std::to_string(port);
}

Result<Mac> Mac::parse(std::string_view text) {
  const std::string copy(text);
  unsigned part[6];
  int used = 0;
  const int parts = std::sscanf(copy.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%n", &part[0], &part[1], &part[2], &part[3],
                                &part[4], &part[5], &used);
  if (parts != 6 || copy.size() != 17 || used != 17) return refuse(EINVAL, "'" + copy + "' is not a MAC address");
  Mac mac;
  for (int i = 0; i < 6; i++) mac.bytes[i] = static_cast<std::uint8_t>(part[i]);
  return mac;
}

std::string Mac::text() const {
  char text[18];
  std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2], bytes[3], bytes[4],
                bytes[5]);
  return text;
}

}  // namespace sluice
