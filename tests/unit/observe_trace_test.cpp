// Packets in words, as bpfctl trace takes them, and the frames that are made of them.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include "loader/observe/frame.hpp"
#include "loader/observe/trace.hpp"
#include "maps/names.hpp"

using namespace sluice;
using namespace sluice::loader::observe;

TEST_CASE("an end of a packet is a host, with a port and a protocol where they are said") {
  const struct {
    const char* text;
    const char* host;
    int port, proto;  // 0: none
  } rows[] = {{"default/web", "default/web", 0, 0},
              {"web:80", "web", 80, 0},
              {"default/web:53/udp", "default/web", 53, IPPROTO_UDP},
              {"default/web/icmp", "default/web", 0, IPPROTO_ICMP},
              {"10.0.0.5", "10.0.0.5", 0, 0},
              {"10.0.0.5:443/TCP", "10.0.0.5", 443, IPPROTO_TCP},
              {"10.0.0.5/icmp", "10.0.0.5", 0, IPPROTO_ICMP},
              {"fd00::5", "fd00::5", 0, 0},
              {"fd00::5/sctp", "fd00::5", 0, IPPROTO_SCTP},
              {"[fd00::5]:65535/sctp", "fd00::5", 65535, IPPROTO_SCTP},
              {"[fd00::5]", "fd00::5", 0, 0},
              {"node", "node", 0, 0}};
  for (const auto& row : rows) {
    CAPTURE(row.text);
    const auto end = EndWords::parse(row.text);
    REQUIRE(end);
    CHECK((*end).host == row.host);
    CHECK((*end).port.value_or(0) == row.port);
    CHECK((*end).proto.value_or(0) == row.proto);
  }
  for (const char* bad : {"", ":80", "web:", "web:0", "web:65536", "web:http", "web:80:81", "[fd00::5]80", "[fd00::5",
                          "[10.0.0]:1", "fd00::g", "[fd00::5]:"}) {
    CAPTURE(bad);
    CHECK(EndWords::parse(bad).failed_with(EINVAL));
  }
}

TEST_CASE("TCP flags are read as they are written") {
  for (int flags = 1; flags < 256; flags++)
    CHECK(maps::tcp_flags_of(maps::tcp_flags_text(static_cast<std::uint8_t>(flags))) == flags);
  CHECK(maps::tcp_flags_of("") == 0);
  CHECK(!maps::tcp_flags_of("s"));
}

TEST_CASE("a frame has the size that was asked for, and never less than its headers take") {
  const struct {
    std::uint8_t proto;
    unsigned header;
  } rows[] = {{IPPROTO_TCP, 20}, {IPPROTO_UDP, 8}, {IPPROTO_SCTP, 12}, {IPPROTO_ICMP, 8}};
  for (const auto& row : rows)
    for (const unsigned size : {0U, 1500U}) {
      const FrameSpec spec{.source = *Address::parse("10.0.0.5"),
                           .destination = *Address::parse("10.0.0.6"),
                           .proto = row.proto,
                           .size = size};
      const auto bytes = frame(spec);
      const unsigned ip = std::max(size, 20 + row.header);
      CHECK(bytes.size() == 14 + ip);
      CHECK((bytes[16] << 8 | bytes[17]) == static_cast<int>(ip));
    }
}
