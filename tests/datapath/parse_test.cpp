// From frames to flows: every protocol, options and extension headers, tags, and frames that are not whole.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

constexpr std::uint8_t kHopByHop = 0, kRouting = 43, kAuthentication = 51, kDestination = 60, kMobility = 135;

void two_pods(Datapath& node) { node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6"); }

}  // namespace

TEST_CASE("every protocol is carried between pods, and both directions share one flow") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node);
    const auto web = family.at(family.web, 999), db = family.at(family.db, 53);
    const struct {
      std::string_view name;
      Packet there, back;
    } rows[] = {
        {"UDP", udp(web, db), udp(db, web)},
        {"UDP, empty", udp(web, db).payload(0), udp(db, web)},
        {"TCP", tcp(web, db, "S"), tcp(db, web, "SA")},
        {"SCTP", sctp(web, db), sctp(db, web)},
        {"echo", ping(family.web, family.db, 4711), pong(family.db, family.web, 4711)},
        {"GRE", other(family.web, family.db, IPPROTO_GRE), other(family.db, family.web, IPPROTO_GRE)},
        {"a protocol without a number of its own, empty", other(family.web, family.db, 253).payload(0),
         other(family.db, family.web, 253)},
    };
    std::size_t flows = 0;
    for (const auto& row : rows) {
      CAPTURE(row.name);
      const bool same_ports = flows == 0 || row.there.tuple().proto != IPPROTO_UDP;
      if (same_ports) flows++;
      CHECK(node.from_pod("web", row.there) == delivered_to("db"));
      CHECK(node.from_pod("db", row.back) == delivered_to("web"));
      CHECK(node.flows().size() == flows);
      const auto flow = node.flow(row.there);
      REQUIRE(flow);
      CHECK(flow->entry.initiator == flow->dir);
      CHECK(flow->back().packets == flow->half().packets);
    }
  }
}

TEST_CASE("ICMP queries have a flow for each identifier, and other ICMP one for all") {
  Datapath node;
  two_pods(node);
  for (const std::uint16_t identifier : {1, 2, 0xffff}) {
    CHECK(node.from_pod("web", ping("10.0.0.5", "10.0.0.6", identifier)) == delivered_to("db"));
    CHECK(node.from_pod("web", ping("fd00::5", "fd00::6", identifier)) == delivered_to("db"));
  }
  CHECK(node.flows().size() == 6);
  const auto timestamp = [](unsigned type) {
    return icmp("10.0.0.5:3", "10.0.0.6:3", static_cast<std::uint8_t>(type), 0, 3U << 16).payload(12);
  };
  CHECK(node.from_pod("web", timestamp(13)) == delivered_to("db"));
  CHECK(node.from_pod("web", timestamp(14)) == delivered_to("db"));
  CHECK(node.flows().size() == 7);
  CHECK(node.from_pod("web", icmp("10.0.0.5", "10.0.0.6", 9, 0, 99)) == delivered_to("db"));
  CHECK(node.from_pod("web", icmp("10.0.0.5", "10.0.0.6", 10, 0, 98)) == delivered_to("db"));
  CHECK(node.flows().size() == 8);
}

TEST_CASE("IPv4 options are passed over") {
  Datapath node;
  two_pods(node);
  const Bytes option = {0x94, 0x04, 0x00, 0x00};  // router alert, RFC 2113
  Bytes most;
  for (int i = 0; i < 10; i++) most.insert(most.end(), option.begin(), option.end());
  CHECK(node.from_pod("web", udp("10.0.0.5:999", "10.0.0.6:53").options(option)) == delivered_to("db"));
  CHECK(node.from_pod("web", tcp("10.0.0.5:999", "10.0.0.6:53").options(most)) == delivered_to("db"));
  CHECK(node.from_pod("web", ping("10.0.0.5", "10.0.0.6").options(most)) == delivered_to("db"));
  CHECK(node.flow(tcp("10.0.0.5:999", "10.0.0.6:53")));
  CHECK(node.flow(tcp("10.0.0.5:999", "10.0.0.6:53"))->half().tcp_flags == TCP_FLAG_ACK_BIT);
}

TEST_CASE("IPv6 extension headers are followed, up to eight of them") {
  Datapath node;
  two_pods(node);
  const Packet plain = udp("[fd00::5]:999", "[fd00::6]:53");
  Packet eight = plain;
  for (int i = 0; i < 8; i++) eight = eight.extension(kDestination);
  const Bytes stops_left = {0, 1, 0, 0, 0, 0}, no_stops = {0, 0, 0, 0, 0, 0};
  const struct {
    std::string_view name;
    Packet sent;
    Verdict want;
  } rows[] = {
      {"hop by hop", plain.extension(kHopByHop), delivered_to("db")},
      {"a long one", plain.extension(kDestination, Bytes(2046, 0)), delivered_to("db")},
      {"authentication", plain.extension(kAuthentication, Bytes(22, 0)), delivered_to("db")},
      {"one of each",
       plain.extension(kHopByHop)
           .extension(kRouting, no_stops)
           .extension(kAuthentication, Bytes(22, 0))
           .extension(kDestination),
       delivered_to("db")},
      {"eight", eight, delivered_to("db")},
      {"nine", eight.extension(kDestination), dropped(DROP_EXTENSION_HEADERS)},
      {"a routing header with stops left", plain.extension(kRouting, stops_left), dropped(DROP_SOURCE_ROUTED)},
      {"the same behind another", plain.extension(kHopByHop).extension(kRouting, stops_left),
       dropped(DROP_SOURCE_ROUTED)},
      {"longer than the packet", plain.extension(kDestination).byte(14 + 41, 200), dropped(DROP_PARSE_SHORT)},
      {"cut", plain.extension(kDestination).cut_to(14 + 40 + 4), dropped(DROP_PARSE_SHORT)},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    if (row.want.kind == Verdict::kDelivered && row.sent.ip().size() > 1500)
      node.pod("db", "10.0.0.6", "fd00::6", {.mtu = 9000});
    CHECK(node.from_pod("web", row.sent) == row.want);
  }
  CHECK(node.flows().size() == 1);
  CHECK(node.from_pod("web", other("fd00::5", "fd00::6", kMobility)) == delivered_to("db"));
  CHECK(node.from_pod("web", other("fd00::5", "fd00::6", 59).payload(0)) == delivered_to("db"));
}

TEST_CASE("a tag with a priority is taken off, and one for a VLAN refused") {
  constexpr std::uint16_t kPriority = 5U << 13;
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node);
    const Packet plain = udp(family.at(family.web, 999), family.at(family.db, 53));
    const struct {
      std::string_view name;
      Packet sent;
      Verdict want;
    } rows[] = {
        {"a priority", plain.vlan(kPriority), delivered_to("db")},
        {"two", plain.vlan(kPriority).vlan(0), delivered_to("db")},
        {"three", plain.vlan(0).vlan(0).vlan(0), dropped(DROP_VLAN)},
        {"a VLAN", plain.vlan(100), dropped(DROP_VLAN)},
        {"a VLAN inside a priority", plain.vlan(100).vlan(kPriority), dropped(DROP_VLAN)},
        {"a VLAN outside a priority", plain.vlan(0).vlan(4095), dropped(DROP_VLAN)},
        {"cut inside the tag", plain.vlan(0).cut_to(15), dropped(DROP_PARSE_SHORT)},
        {"cut behind the tag", plain.vlan(0).cut_to(18), dropped(DROP_PARSE_SHORT)},
    };
    for (const auto& row : rows) {
      CAPTURE(row.name);
      CHECK(node.from_pod("web", row.sent) == row.want);
    }
    CHECK(node.flow(plain)->half().bytes == 2 * plain.ip().size());
  }
}

TEST_CASE("a frame that is no IP packet, or none that is well-formed, is dropped") {
  Datapath node;
  two_pods(node);
  const Packet v4 = udp("10.0.0.5:999", "10.0.0.6:53"), v6 = udp("[fd00::5]:999", "[fd00::6]:53");
  const struct {
    std::string_view name;
    Packet sent;
    Verdict want;
  } rows[] = {
      {"neither", v4.ethertype(0x88cc), dropped(DROP_NOT_IP)},
      {"a length in the place of the type", v4.ethertype(46), dropped(DROP_NOT_IP)},
      {"IPv6 in a frame of IPv4", v6.ethertype(0x0800), dropped(DROP_IP_HEADER)},
      {"version 5", v4.byte(14, 0x55), dropped(DROP_IP_HEADER)},
      {"version 7", v6.byte(14, 0x70), dropped(DROP_IP_HEADER)},
      {"header of 16 bytes", v4.byte(14, 0x44), dropped(DROP_IP_HEADER)},
      {"header longer than the packet", v4.byte(14, 0x4f), dropped(DROP_PARSE_SHORT)},
      {"the same, of a protocol without ports", other("10.0.0.5", "10.0.0.6", 47).payload(0).byte(14, 0x46),
       dropped(DROP_PARSE_SHORT)},
      {"an IPv4 source inside IPv6", v6.byte(22, 0).byte(23, 0).byte(32, 0xff).byte(33, 0xff), dropped(DROP_IP_HEADER)},
      {"an IPv4 destination inside IPv6", v6.byte(38, 0).byte(39, 0).byte(48, 0xff).byte(49, 0xff),
       dropped(DROP_IP_HEADER)},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CHECK(node.from_pod("web", row.sent) == row.want);
  }
  CHECK(node.flows().empty());
}

TEST_CASE("a packet that ends inside a header is dropped, wherever it ends") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Datapath node;
    two_pods(node);
    const auto web = family.at(family.web, 999), db = family.at(family.db, 53);
    const std::size_t ip = family.v4 ? 20 : 40;
    const struct {
      std::string_view name;
      Packet sent;
      std::size_t header;
    } rows[] = {{"TCP", tcp(web, db), 20},
                {"UDP", udp(web, db), 8},
                {"SCTP", sctp(web, db), 12},
                {"ICMP", ping(family.web, family.db), 8},
                {"other", other(family.web, family.db, 47), 0}};
    for (const auto& row : rows) {
      for (std::size_t size = 14; size < 14 + ip + row.header; size++) {
        CAPTURE(row.name);
        CAPTURE(size);
        // From 6.14 on the kernel runs no frame that is cut inside the IP header, unless a tag hides what it is.
        const bool hidden = size < 14 + ip;
        const Packet cut = hidden ? row.sent.vlan(0).cut_to(size + 4) : row.sent.cut_to(size);
        CHECK(node.from_pod("web", cut) == dropped(DROP_PARSE_SHORT));
      }
      CHECK(node.flows().empty());
    }
    for (const auto& row : rows) {
      CAPTURE(row.name);
      CHECK(node.from_pod("web", row.sent).verdict == delivered_to("db"));
    }
  }
}
