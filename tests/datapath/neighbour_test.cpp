// ARP and neighbour discovery: a pod that asks for its gateway gets an answer, and for nobody else.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/datapath/datapath.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

sluice::Address address(const char* text) { return SocketAddress(text).address; }
Bytes bytes(const sluice::Address& address) { return Bytes(address.bytes(), address.bytes() + address.bytes_size()); }

}  // namespace

TEST_CASE("ARP is answered for the gateway") {
  for (const std::string gateway : {sluice::loader::kGatewayV4, "10.0.0.1"}) {
    CAPTURE(gateway);
    Datapath node({.gateway_v4 = gateway});
    node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6");
    const auto web = node.mac("web"), db = node.mac("db");
    const Outcome outcome = node.from_pod("web", arp_request(web, address("10.0.0.5"), address(gateway.c_str())));
    CHECK(outcome == answered());
    CHECK(outcome.got == arp_reply(sluice::loader::kHostMac, address(gateway.c_str()), web, address("10.0.0.5")));

    Bytes reply = arp_reply(web, address("10.0.0.5"), web, address(gateway.c_str()));
    Bytes token_ring = arp_request(web, address("10.0.0.5"), address(gateway.c_str()));
    token_ring[15] = 6;
    Bytes cut = arp_request(web, address("10.0.0.5"), address(gateway.c_str()));
    cut.resize(cut.size() - 1);
    const struct {
      std::string_view name;
      Bytes sent;
      Verdict want;
    } rows[] = {
        {"for another pod", arp_request(web, address("10.0.0.5"), address("10.0.0.6")), dropped(DROP_NEIGHBOUR)},
        {"for itself", arp_request(web, address("10.0.0.5"), address("10.0.0.5")), dropped(DROP_NEIGHBOUR)},
        {"no question", reply, dropped(DROP_NEIGHBOUR)},
        {"not of Ethernet", token_ring, dropped(DROP_NEIGHBOUR)},
        {"from another pod's address", arp_request(web, address("10.0.0.6"), address(gateway.c_str())),
         dropped(DROP_SOURCE_SPOOFED)},
        {"from no address", arp_request(web, address("0.0.0.0"), address(gateway.c_str())),
         dropped(DROP_SOURCE_SPOOFED)},
        {"from another MAC", arp_request(db, address("10.0.0.5"), address(gateway.c_str())), dropped(DROP_SOURCE_MAC)},
        {"cut", cut, dropped(DROP_PARSE_SHORT)},
    };
    for (const auto& row : rows) {
      CAPTURE(row.name);
      CHECK(node.from_pod("web", row.sent) == row.want);
    }
    CHECK(node.counter(COUNTER_NEIGHBOUR_ANSWERED) == 1);
  }
}

TEST_CASE("a neighbour solicitation is answered for the gateway") {
  for (const std::string gateway : {sluice::loader::kGatewayV6, "fd00::1"}) {
    CAPTURE(gateway);
    Datapath node({.gateway_v6 = gateway});
    node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6");
    const auto web = node.mac("web");
    for (const char* from : {"fd00::5", "fe80::5"}) {
      CAPTURE(from);
      const Outcome outcome = node.from_pod("web", neighbour_solicitation(from, gateway.c_str(), web));
      CHECK(outcome == answered());
      CHECK(outcome.got == neighbour_advertisement(gateway.c_str(), from, sluice::loader::kHostMac)
                               .frame(sluice::loader::kHostMac, web));
    }
    const Packet asked = neighbour_solicitation("fd00::5", gateway.c_str(), web);
    // Without the option that names the sender's link-layer address: sent to the gateway itself, to see if it is there.
    const Packet probe = icmp("fd00::5", gateway.c_str(), 135, 0).payload(bytes(address(gateway.c_str()))).ttl(255);
    CHECK(node.from_pod("web", probe) == answered());
    const struct {
      std::string_view name;
      Packet sent;
      Verdict want;
    } rows[] = {
        {"for another pod", neighbour_solicitation("fd00::5", "fd00::6", web), dropped(DROP_NEIGHBOUR)},
        {"for itself, to see if it is alone", neighbour_solicitation("::", "fd00::5", web), dropped(DROP_NEIGHBOUR)},
        {"for the gateway, without an address", neighbour_solicitation("::", gateway.c_str(), web),
         dropped(DROP_NEIGHBOUR)},
        {"that came over a router", asked.ttl(254), dropped(DROP_NEIGHBOUR)},
        {"cut", asked.cut_to(14 + 40 + 20), dropped(DROP_PARSE_SHORT)},
        {"behind an extension header", asked.extension(60), dropped(DROP_PARSE_SHORT)},
    };
    for (const auto& row : rows) {
      CAPTURE(row.name);
      CHECK(node.from_pod("web", row.sent) == row.want);
    }
    CHECK(node.counter(COUNTER_NEIGHBOUR_ANSWERED) == 3);
    CHECK(node.flows().empty());
  }
}
