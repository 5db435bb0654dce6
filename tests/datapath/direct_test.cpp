// Outside clients of endpoints on other nodes that are answered by those: what the node does that was asked. What the
// other one does takes a tunnel: tests/e2e/direct_test.cpp.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include <array>

#include "maps/ipcache.h"
#include "maps/service.h"
#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;
using sluice::Address;

namespace {

constexpr std::uint32_t kNode = 9;

const char* far(const Family& family) { return family.v4 ? "10.9.0.7" : "fd09::7"; }
const char* farther(const Family& family) { return family.v4 ? "10.9.0.8" : "fd09::8"; }

/// The MAC addresses that name the endpoint: of its address the lower half, and its port.
Bytes name_of(const char* address, std::uint16_t port) {
  const Address endpoint = SocketAddress(address).address;
  std::array<std::uint8_t, 16> all{};
  std::copy_n(reinterpret_cast<const std::uint8_t*>(&endpoint.wire()), all.size(), all.begin());
  Bytes name = {0x0a, all[8], all[9], all[10], all[11], all[12], 0x0a, all[13], all[14], all[15]};
  name.push_back(static_cast<std::uint8_t>(port >> 8));
  name.push_back(static_cast<std::uint8_t>(port));
  return name;
}

Bytes macs(const Outcome& outcome) { return {outcome.got.begin(), outcome.got.begin() + 12}; }

/// A node port with these endpoints, at a node whose outside clients are answered directly.
struct Asked {
  explicit Asked(const Family& of) : family(of) {
    node.pod("web", "10.0.0.5", "fd00::5").pod("up", "10.0.0.99", "fd00::99").forget_pod("up").uplink("up");
    node.pod("device", "10.0.0.100", "fd00::100").tunnel_device("device").node(kNode, "192.0.2.9");
    for (const char* block : {"10.9.0.0/16", "fd09::/16"}) node.known_address(block, IDENTITY_UNKNOWN, 0, kNode);
  }
  void serves(std::uint8_t proto, const std::vector<const char*>& endpoints) {
    std::vector<SocketAddress> all;
    for (const char* endpoint : endpoints) all.emplace_back(family.at(endpoint, 8080));
    node.service(service, proto, all, {.flags = SERVICE_OUTSIDE});
  }

  const Family& family;
  Datapath node{{.overlay = true, .direct = true}};
  std::string client = family.at(family.world, 20000), service = family.at(family.host, 30080);
};

}  // namespace

TEST_CASE("a client that another node answers is sent on to it as it is, in a frame that names the endpoint") {
  for (const Family& family : kFamilies)
    for (const std::uint8_t proto : {IPPROTO_TCP, IPPROTO_UDP}) {
      CAPTURE(family.name);
      CAPTURE(proto);
      Asked asked(family);
      Datapath& node = asked.node;
      asked.serves(proto, {far(family)});
      const Packet asks =
          proto == IPPROTO_TCP ? tcp(asked.client, asked.service, "S") : udp(asked.client, asked.service);
      for (int round = 0; round < 3; round++) {  // decided, then known, then decided anew
        const Outcome outcome = node.from_uplink("up", asks, asks);
        CHECK(outcome == tunnelled_to(kNode));
        CHECK(macs(outcome) == name_of(far(family), 8080));
        if (round == 1) node.new_epoch();
      }
      CHECK(node.flows().size() == 1);
      CHECK(node.flow(asks)->half().packets == 3);
      CHECK(node.flow(asks)->entry.service == 1);
    }
}

TEST_CASE("an endpoint of this node answers by this node, and pods' tunnels name nobody") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Asked asked(family);
    Datapath& node = asked.node;
    asked.serves(IPPROTO_UDP, {family.web});
    const Packet asks = udp(asked.client, asked.service), answers = udp(family.at(family.web, 8080), asked.client);
    CHECK(node.from_uplink("up", asks, asks.between(asked.client, family.at(family.web, 8080))) == delivered_to("web"));
    CHECK(node.from_pod("web", answers, answers.between(asked.service, asked.client)) == sent_out_of("up"));
    const Outcome outcome = node.from_pod("web", udp(family.at(family.web, 1), family.at(far(family), 2)));
    CHECK(outcome == tunnelled_to(kNode));
    CHECK(macs(outcome)[0] == sluice::loader::kHostMac.bytes[0]);
  }
}

TEST_CASE(
    "a connection whose answers go another way is established by what the client says, and closing when it has said "
    "all") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Asked asked(family);
    Datapath& node = asked.node;
    asked.serves(IPPROTO_TCP, {far(family)});
    const Packet asks = tcp(asked.client, asked.service, "A");
    const auto state = [&] { return flow_entry_state(IPPROTO_TCP, &node.flow(asks)->entry); };
    CHECK(node.from_uplink("up", asks.flags("S")).verdict == tunnelled_to(kNode));
    CHECK(state() == FLOW_OPENING);
    CHECK(node.from_uplink("up", asks).verdict == tunnelled_to(kNode));
    CHECK(state() == FLOW_ESTABLISHED);
    node.age(asks, 3600);
    asked.serves(IPPROTO_TCP, {farther(family)});  // TCP stays with its endpoint to the end
    const Outcome later = node.from_uplink("up", asks);
    CHECK(later.verdict == tunnelled_to(kNode));
    CHECK(macs(later) == name_of(far(family), 8080));
    CHECK(node.flow(asks)->half().packets == 3);
    CHECK(node.from_uplink("up", asks.flags("FA")).verdict == tunnelled_to(kNode));
    CHECK(state() == FLOW_CLOSING);
    // A new connection with the same tuple is balanced anew.
    const Outcome again = node.from_uplink("up", asks.flags("S"));
    CHECK(macs(again) == name_of(farther(family), 8080));
    CHECK(node.flow(asks)->half().packets == 1);
    CHECK(node.from_uplink("up", asks.flags("R")).verdict == tunnelled_to(kNode));
    CHECK(state() == FLOW_CLOSED);
  }
}

TEST_CASE("datagrams leave an endpoint that no longer serves, and fragments and errors go where the connection goes") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Asked asked(family);
    Datapath& node = asked.node;
    asked.serves(IPPROTO_UDP, {far(family)});
    const Packet asks = udp(asked.client, asked.service);
    const auto named = [&](const Packet& packet) {
      const Outcome outcome = node.from_uplink("up", packet, packet);
      CHECK(outcome == tunnelled_to(kNode));
      return macs(outcome);
    };
    const Bytes first = name_of(far(family), 8080), second = name_of(farther(family), 8080);
    CHECK(named(asks) == first);
    CHECK(named(asks.payload(64).fragment(5, 0)) == first);
    CHECK(named(asks.payload(64).fragment(5, 72, false)) == first);
    CHECK(named(icmp_about(family.world, family.host, family.v4 ? 3 : 1, family.v4 ? 3 : 4, 0,
                           asks.between(asked.service, asked.client))) == first);
    node.backends_become(BACKEND_GONE);
    asked.serves(IPPROTO_UDP, {farther(family)});
    CHECK(named(asks) == second);
    CHECK(node.flow(asks)->half().packets == 1);
  }
}

TEST_CASE("what would not fit into the tunnel is told to the client") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Asked asked(family);
    asked.serves(IPPROTO_UDP, {far(family)});
    CHECK(asked.node.from_uplink("up", udp(asked.client, asked.service).payload(1430).dont_fragment()) ==
          told_sender(DROP_TOO_BIG));
  }
}

TEST_CASE("a frame that names an endpoint and has come by no node's tunnel is dropped") {
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    Asked asked(family);
    const Packet named = udp(asked.client, asked.service).from_mac("0a:00:00:00:1f:90").to_mac("0a:00:00:ff:ff:0a");
    CHECK(asked.node.from_overlay("device", named) == dropped(DROP_FOREIGN_TUNNEL));
    CHECK(asked.node.flows().empty());
  }
}
