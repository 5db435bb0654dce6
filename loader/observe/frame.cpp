#include "loader/observe/frame.hpp"

#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "maps/types.h"

namespace sluice::loader::observe {

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kSctpHeader = 12;  // RFC 9260, 3.1

std::uint16_t wire(std::uint16_t value) { return maps::be16::from_host(value).wire; }

template <typename Header>
void append(Bytes& to, const Header& header) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&header);
  to.insert(to.end(), bytes, bytes + sizeof(header));
}

Bytes l4(const FrameSpec& spec) {
  Bytes bytes;
  switch (spec.proto) {
    case IPPROTO_TCP: {
      tcphdr tcp{};
      tcp.source = wire(spec.source_port);
      tcp.dest = wire(spec.destination_port);
      tcp.doff = sizeof(tcp) / 4;
      tcp.th_flags = spec.tcp_flags;
      append(bytes, tcp);
      break;
    }
    case IPPROTO_ICMP: {
      icmphdr icmp{};
      icmp.type = ICMP_ECHO;
      icmp.un.echo.id = wire(spec.source_port);
      append(bytes, icmp);
      break;
    }
    case IPPROTO_ICMPV6: {
      icmp6_hdr icmp{};
      icmp.icmp6_type = ICMP6_ECHO_REQUEST;
      icmp.icmp6_id = wire(spec.source_port);
      append(bytes, icmp);
      break;
    }
    case IPPROTO_UDP:
    case IPPROTO_SCTP: {
      udphdr ports{};
      ports.source = wire(spec.source_port);
      ports.dest = wire(spec.destination_port);
      append(bytes, ports);
      if (spec.proto == IPPROTO_SCTP) bytes.resize(kSctpHeader);
      break;
    }
    default:
      break;
  }
  return bytes;
}

Bytes ip_header(const FrameSpec& spec, std::size_t size) {
  Bytes bytes;
  if (spec.source.is_v4()) {
    iphdr ip{};
    ip.version = 4;
    ip.ihl = sizeof(ip) / 4;
    ip.tot_len = wire(static_cast<std::uint16_t>(size));
    ip.frag_off = wire(spec.dont_fragment ? IP_DF : 0);
    ip.ttl = spec.ttl;
    ip.protocol = spec.proto;
    std::memcpy(&ip.saddr, spec.source.bytes(), sizeof(ip.saddr));
    std::memcpy(&ip.daddr, spec.destination.bytes(), sizeof(ip.daddr));
    append(bytes, ip);
  } else {
    ip6_hdr ip{};
    ip.ip6_vfc = 6 << 4;
    ip.ip6_plen = wire(static_cast<std::uint16_t>(size - sizeof(ip)));
    ip.ip6_nxt = spec.proto;
    ip.ip6_hlim = spec.ttl;
    std::memcpy(&ip.ip6_src, spec.source.bytes(), sizeof(ip.ip6_src));
    std::memcpy(&ip.ip6_dst, spec.destination.bytes(), sizeof(ip.ip6_dst));
    append(bytes, ip);
  }
  return bytes;
}

}  // namespace

std::vector<std::uint8_t> frame(const FrameSpec& spec) {
  const bool v4 = spec.source.is_v4();
  Bytes payload = l4(spec);
  const std::size_t header = v4 ? sizeof(iphdr) : sizeof(ip6_hdr);
  const std::size_t size = std::max<std::size_t>(spec.size, header + payload.size());
  payload.resize(size - header);
  if (spec.proto == IPPROTO_UDP) {
    const std::uint16_t length = wire(static_cast<std::uint16_t>(payload.size()));
    std::memcpy(&payload[offsetof(udphdr, len)], &length, sizeof(length));
  }
  Bytes all(spec.to.bytes.begin(), spec.to.bytes.end());
  all.insert(all.end(), spec.from.bytes.begin(), spec.from.bytes.end());
  append(all, wire(v4 ? 0x0800 : 0x86dd));
  const Bytes ip = ip_header(spec, size);
  all.insert(all.end(), ip.begin(), ip.end());
  all.insert(all.end(), payload.begin(), payload.end());
  return all;
}

}  // namespace sluice::loader::observe
