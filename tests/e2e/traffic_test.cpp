#include <doctest/doctest.h>
#include <netinet/in.h>

#include <thread>

#include "maps/views.hpp"
#include "tests/e2e/cluster.hpp"
#include "tests/e2e/socket.hpp"

using namespace sluice;
using namespace sluice::e2e;

namespace {

constexpr bool kFamilies[] = {true, false};

const char* family_name(bool v4) { return v4 ? "IPv4" : "IPv6"; }

/// The pairs of one node that must reach each other.
struct Pairs {
  Cluster cluster;
  Place client = cluster.pod("client");
  Place web = cluster.pod("web");
  Place node = cluster.node("node-1");

  template <typename Check>
  void each(Check check) const {
    const std::pair<const Place*, const Place*> all[] = {
        {&client, &web}, {&web, &client}, {&client, &client}, {&client, &node}, {&node, &web}};
    for (const auto& [from, to] : all) {
      for (const bool v4 : kFamilies) {
        INFO(from->name, " to ", to->name, ", ", std::string(family_name(v4)));
        check(*from, *to, v4);
      }
    }
  }
};

/// Bytes that are not the same anywhere.
std::string pattern(std::size_t size) {
  std::string data(size, '\0');
  std::uint32_t state = 1;
  for (auto& byte : data) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<char>(state >> 24);
  }
  return data;
}

}  // namespace

TEST_CASE("pods and their node ping each other") {
  const Pairs pairs;
  pairs.each([&](const Place& from, const Place& to, bool v4) {
    const Command ping{"ping", "-c", "2", "-i", "0.01", "-W", "2", to.address(v4).text()};
    const auto outcome =
        from.name == from.node ? pairs.cluster.on_node(from.name, ping) : pairs.cluster.exec(from.name, ping);
    CHECK_MESSAGE(outcome.output.find(" 2 received") != std::string::npos, outcome.output);
  });
}

TEST_CASE("TCP connections carry data both ways, with the pods' own addresses") {
  const Pairs pairs;
  pairs.each([&](const Place& from, const Place& to, bool v4) {
    const auto listener = must(Socket::tcp_listener(to.netns, to.address(v4)));
    const auto client = must(Socket::tcp_connected(from.netns, to.address(v4), must(listener.port())));
    const auto [server, peer] = must(listener.accept());
    CHECK(peer == from.address(v4));
    must(client.send("question"));
    CHECK(must(server.read(8)) == "question");
    must(server.send("the answer"));
    CHECK(must(client.read(10)) == "the answer");
  });
}

TEST_CASE("UDP datagrams are answered, whatever their size") {
  const Pairs pairs;
  pairs.each([&](const Place& from, const Place& to, bool v4) {
    const auto server = must(Socket::udp(to.netns, to.address(v4)));
    const auto client = must(Socket::udp(from.netns, from.address(v4)));
    for (const std::size_t size : {0UL, 1UL, 1400UL, 1473UL, 9000UL, 60000UL}) {
      CAPTURE(size);
      const auto data = pattern(size);
      must(client.send_to(data, to.address(v4), must(server.port())));
      const auto question = must(server.receive());
      CHECK(question.from == from.address(v4));
      CHECK(question.data == data);
      must(server.send_to(data, question.from, question.port));
      CHECK(must(client.receive()).data == data);
    }
  });
}

TEST_CASE("a stream of many megabytes arrives whole") {
  const Pairs pairs;
  const auto data = pattern(16 << 20);
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    const auto listener = must(Socket::tcp_listener(pairs.web.netns, pairs.web.address(v4)));
    const auto client = must(Socket::tcp_connected(pairs.client.netns, pairs.web.address(v4), must(listener.port())));
    const auto [server, peer] = must(listener.accept());
    Result<void> sent;
    std::thread sender([&] { sent = client.send(data); });
    const auto received = server.read(data.size());
    sender.join();
    must(sent);
    CHECK(must(Result(received)) == data);
  }
}

TEST_CASE("what crosses a node is forwarded by the programs and known as a flow") {
  const Pairs pairs;
  const auto before = pairs.cluster.packets("node-1", maps::DROP_NONE);
  const auto server = must(Socket::udp(pairs.web.netns, pairs.web.address(true)));
  const auto client = must(Socket::udp(pairs.client.netns, pairs.client.address(true)));
  must(client.send_to("x", pairs.web.address(true), must(server.port())));
  must(server.receive());
  CHECK(pairs.cluster.packets("node-1", maps::DROP_NONE) > before);

  const auto flows = must(maps::open<maps::Flows>(pairs.cluster.root("node-1").maps()));
  const auto port = must(server.port());
  bool known = false;
  for (const auto& [key, entry] : must(flows.dump())) {
    known |= key.proto == IPPROTO_UDP && (key.port[0].to_host() == port || key.port[1].to_host() == port);
  }
  CHECK(known);
}

TEST_CASE("nodes reach each other, and a pod's traffic to a port where nobody listens is refused at once") {
  const Pairs pairs;
  const auto other = pairs.cluster.node("node-2");
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    const auto listener = must(Socket::tcp_listener(other.netns, other.address(v4)));
    CHECK(Socket::tcp_connected(pairs.node.netns, other.address(v4), must(listener.port())));

    CHECK(Socket::tcp_connected(pairs.client.netns, pairs.web.address(v4), 9).failed_with(ECONNREFUSED));
    auto socket = must(Socket::udp(pairs.client.netns, pairs.client.address(v4)));
    must(socket.connect(pairs.web.address(v4), 9));
    must(socket.send("anybody?"));
    CHECK(socket.receive().failed_with(ECONNREFUSED));  // by ICMP port unreachable
  }
}

TEST_CASE("nodes and pods of one family only talk in it") {
  const struct {
    const char* cidr;
    const char* address;
  } rows[] = {{"10.244.9.0/24", "172.18.0.19"}, {"fd00:10:244:9::/64", "fd00:172:18::19"}};
  for (const auto& row : rows) {
    CAPTURE(std::string(row.address));
    const Cluster cluster(std::string("kind: Node\napiVersion: v1\nmetadata: {name: single}\nspec: {podCIDRs: ['") +
                          row.cidr + "']}\nstatus: {addresses: [{type: InternalIP, address: '" + row.address +
                          "'}]}\n" + pod_yaml("a", "single") + pod_yaml("b", "single"));
    const auto b = cluster.pod("b");
    REQUIRE(b.addresses.size() == 1);
    const auto target = b.addresses.begin()->second;
    for (const auto& to : {target.text(), std::string(row.address)}) {
      const auto outcome = cluster.exec("a", {"ping", "-c1", "-W2", to});
      CHECK_MESSAGE(outcome.status == 0, outcome.output);
    }
    CHECK(cluster.on_node("single", {"ping", "-c1", "-W2", target.text()}).status == 0);
  }
}
