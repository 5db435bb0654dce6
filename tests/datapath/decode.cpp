// Frames to words, with a judgement of lengths and checksums. Written apart from the builders, so that a mistake of
// theirs does not confirm itself.
#include <netinet/in.h>

#include <cstdio>
#include <cstring>

#include "tests/datapath/packet.hpp"

namespace sluice::test {
namespace {

constexpr unsigned kExtensionsMost = 16;
constexpr std::uint8_t kIcmp = 1, kIcmp6 = 58;

struct Reader {
  const Bytes& bytes;
  Decoded& out;

  [[nodiscard]] unsigned u8(std::size_t at) const { return at < bytes.size() ? bytes[at] : 0; }
  [[nodiscard]] unsigned u16(std::size_t at) const { return u8(at) << 8 | u8(at + 1); }
  [[nodiscard]] std::uint32_t u32(std::size_t at) const { return std::uint32_t{u16(at)} << 16 | u16(at + 2); }
  void problem(const std::string& what) { out.problems.push_back(what); }
};

void append(std::string& text, const char* format, auto... values) {
  char buffer[160];
  std::snprintf(buffer, sizeof(buffer), format, values...);
  text += buffer;
}

std::string flag_letters(unsigned flags) {
  std::string letters;
  for (int bit = 0; bit < 6; bit++)
    if (flags & 1U << bit) letters += "FSRPAU"[bit];
  return letters;
}

struct Ip {
  bool v4;
  std::size_t start, l4, end;  // offsets in the frame; `end` as the header says
  std::uint8_t proto;
  bool fragment = false, later_fragment = false;
  Address src, dst;
};

void decode_ip(Reader& in, std::size_t at, unsigned depth);

std::uint16_t transport_sum(const Reader& in, const Ip& ip, bool pseudo) {
  Bytes covered;
  if (pseudo) {
    for (const Address* address : {&ip.src, &ip.dst})
      covered.insert(covered.end(), address->bytes(), address->bytes() + address->bytes_size());
    const auto length = static_cast<std::uint32_t>(ip.end - ip.l4);
    for (const std::uint32_t word : {length, std::uint32_t{ip.proto}})
      for (int shift = 24; shift >= 0; shift -= 8) covered.push_back(static_cast<std::uint8_t>(word >> shift));
  }
  covered.insert(covered.end(), in.bytes.begin() + static_cast<long>(ip.l4),
                 in.bytes.begin() + static_cast<long>(ip.end));
  return internet_checksum(covered);
}

void decode_l4(Reader& in, const Ip& ip, unsigned depth) {
  std::string& text = in.out.text;
  const bool is_icmp = ip.proto == (ip.v4 ? kIcmp : kIcmp6);
  const bool whole = !ip.fragment && ip.end <= in.bytes.size();
  if (ip.later_fragment) return;
  if (ip.proto == IPPROTO_TCP) {
    append(text, " tcp %u > %u [%s]", in.u16(ip.l4), in.u16(ip.l4 + 2), flag_letters(in.u8(ip.l4 + 13)).c_str());
  } else if (ip.proto == IPPROTO_UDP) {
    append(text, " udp %u > %u", in.u16(ip.l4), in.u16(ip.l4 + 2));
  } else if (ip.proto == IPPROTO_SCTP) {
    append(text, " sctp %u > %u", in.u16(ip.l4), in.u16(ip.l4 + 2));
    Bytes covered(in.bytes.begin() + static_cast<long>(std::min(ip.l4, in.bytes.size())), in.bytes.end());
    if (whole && covered.size() >= 12) {
      std::uint32_t carried;
      std::memcpy(&carried, &covered[8], sizeof(carried));
      std::memset(&covered[8], 0, sizeof(carried));
      if (crc32c(covered) != carried) in.problem(depth == 0 ? "SCTP checksum" : "SCTP checksum in the quoted packet");
    }
  } else if (is_icmp) {
    append(text, " icmp type %u code %u rest %08x", in.u8(ip.l4), in.u8(ip.l4 + 1), in.u32(ip.l4 + 4));
  } else {
    append(text, " protocol %u", ip.proto);
    return;
  }
  const bool optional = ip.proto == IPPROTO_UDP && ip.v4 && in.u16(ip.l4 + 6) == 0;
  if (whole && ip.proto != IPPROTO_SCTP && !optional && transport_sum(in, ip, !(is_icmp && ip.v4)) != 0)
    in.problem(depth == 0 ? "checksum behind the IP header" : "checksum in the quoted packet");
  const unsigned type = in.u8(ip.l4);
  const bool error = is_icmp && (ip.v4 ? type == 3 || type == 5 || type == 11 || type == 12 : type < 128);
  if (error && depth == 0 && ip.l4 + 8 < in.bytes.size()) {
    text += "\n    about";
    decode_ip(in, ip.l4 + 8, depth + 1);
  }
}

void read_v4(Reader& in, Ip& ip, unsigned depth) {
  const std::size_t length = std::size_t{in.u8(ip.start) & 15U} * 4;
  const unsigned offset = in.u16(ip.start + 6);
  ip.l4 = ip.start + length;
  ip.end = ip.start + in.u16(ip.start + 2);
  ip.proto = static_cast<std::uint8_t>(in.u8(ip.start + 9));
  ip.fragment = (offset & 0x3fffU) != 0;
  ip.later_fragment = (offset & 0x1fffU) != 0;
  append(in.out.text, " ttl %u%s", in.u8(ip.start + 8), offset & 0x4000U ? " DF" : "");
  if (ip.fragment) append(in.out.text, " fragment %u at %u", in.u16(ip.start + 4), (offset & 0x1fffU) * 8);
  const Bytes header(in.bytes.begin() + static_cast<long>(ip.start),
                     in.bytes.begin() + static_cast<long>(std::min(ip.l4, in.bytes.size())));
  if (ip.l4 <= in.bytes.size() && internet_checksum(header) != 0)
    in.problem(depth == 0 ? "IPv4 header checksum" : "IPv4 header checksum in the quoted packet");
}

void read_v6(Reader& in, Ip& ip) {
  ip.l4 = ip.start + 40;
  ip.end = ip.l4 + in.u16(ip.start + 4);
  ip.proto = static_cast<std::uint8_t>(in.u8(ip.start + 6));
  append(in.out.text, " hops %u", in.u8(ip.start + 7));
  for (unsigned i = 0; i < kExtensionsMost && !ip.later_fragment; i++) {
    const std::uint8_t kind = ip.proto;
    if (kind != 0 && kind != 43 && kind != 44 && kind != 51 && kind != 60) break;
    append(in.out.text, " extension %u", kind);
    if (kind == 44) {
      ip.fragment = (in.u16(ip.l4 + 2) & 0xfff9U) != 0;
      ip.later_fragment = (in.u16(ip.l4 + 2) & 0xfff8U) != 0;
    }
    const std::size_t units = in.u8(ip.l4 + 1);
    ip.proto = static_cast<std::uint8_t>(in.u8(ip.l4));
    ip.l4 += kind == 44 ? 8 : kind == 51 ? (units + 2) * 4 : (units + 1) * 8;
  }
}

void decode_ip(Reader& in, std::size_t at, unsigned depth) {
  Ip ip{};
  ip.start = at;
  ip.v4 = in.u8(at) >> 4 == 4;
  const std::size_t addresses = at + (ip.v4 ? 12 : 8), size = ip.v4 ? 4 : 16;
  if (addresses + 2 * size > in.bytes.size()) {
    in.out.text += " cut inside the IP header";
    return;
  }
  ip.src = Address::from_bytes(&in.bytes[addresses], ip.v4);
  ip.dst = Address::from_bytes(&in.bytes[addresses + size], ip.v4);
  append(in.out.text, " %s > %s", ip.src.text().c_str(), ip.dst.text().c_str());
  if (ip.v4)
    read_v4(in, ip, depth);
  else
    read_v6(in, ip);
  if (depth == 0 && ip.end > in.bytes.size()) in.problem("IP header promises more than there is");
  if (ip.l4 <= ip.end) decode_l4(in, ip, depth);
}

}  // namespace

Decoded decode(const Bytes& frame) {
  Decoded out;
  Reader in{frame, out};
  append(out.text, "%zu bytes", frame.size());
  std::size_t at = 12;
  for (; in.u16(at) == 0x8100 || in.u16(at) == 0x88a8; at += 4) append(out.text, " vlan %u", in.u16(at + 2));
  const unsigned ethertype = in.u16(at);
  Mac dst{}, src{};
  if (frame.size() >= 12) {
    std::memcpy(dst.bytes.data(), frame.data(), 6);
    std::memcpy(src.bytes.data(), frame.data() + 6, 6);
  }
  append(out.text, " %s > %s type %04x", src.text().c_str(), dst.text().c_str(), ethertype);
  if (ethertype == 0x0800 || ethertype == 0x86dd) decode_ip(in, at + 2, 0);
  return out;
}

}  // namespace sluice::test
