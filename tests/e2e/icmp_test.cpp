#include <doctest/doctest.h>

#include <thread>

#include "tests/e2e/cluster.hpp"
#include "tests/e2e/socket.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;

namespace {

constexpr bool kFamilies[] = {true, false};

bool received(const Outcome& ping) { return ping.output.find(" 1 received") != std::string::npos; }

/// A node with pods of which one, "narrow", has a smaller MTU.
struct Narrow {
  Cluster cluster{node_yaml(1) + pod_yaml("client", "node-1") + pod_yaml("narrow", "node-1", R"({"mtu": 1400})")};
  Place client = cluster.pod("client");
  Place narrow = cluster.pod("narrow");
};

}  // namespace

TEST_CASE("pings that do not fit one packet arrive in fragments") {
  const Cluster cluster;
  const auto web = cluster.pod("web");
  const auto node = cluster.node("node-1");
  for (const bool v4 : kFamilies) {
    for (const char* size : {"1473", "5000", "60000"}) {
      const auto web_address = web.address(v4).text();
      CAPTURE(web_address);
      CAPTURE(std::string(size));
      const auto ping = [&](const std::string& to) -> Command { return {"ping", "-c1", "-W2", "-s", size, to}; };
      CHECK(received(cluster.exec("client", ping(web_address))));
      CHECK(received(cluster.exec("client", ping(node.address(v4).text()))));
      CHECK(received(cluster.on_node("node-1", ping(web_address))));
    }
  }
}

TEST_CASE("a sender learns of a pod's smaller MTU and its next packet fits") {
  const Narrow lab;
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    const auto server = must(Socket::udp(lab.narrow.netns, lab.narrow.address(v4)));
    auto client = must(Socket::udp(lab.client.netns, lab.client.address(v4)));
    must(client.forbid_fragments());
    must(client.connect(lab.narrow.address(v4), must(server.port())));
    CHECK(must(client.path_mtu()) == 1500);
    const auto before = lab.cluster.packets("node-1", maps::DROP_TOO_BIG);
    must(client.send(std::string(1440, 'x')));
    CHECK(within(2s, [&] { return must(client.path_mtu()) == 1400; }));
    CHECK(lab.cluster.packets("node-1", maps::DROP_TOO_BIG) == before + 1);
    CHECK(server.receive_now().failed_with(EAGAIN));
    CHECK(client.receive_now().failed_with(EMSGSIZE));  // the error of the packet that was lost
    CHECK(client.send(std::string(1440, 'x')).failed_with(EMSGSIZE));

    const std::string fitting(v4 ? 1372 : 1352, 'y');
    must(client.send(fitting));
    CHECK(must(server.receive()).data == fitting);
  }
}

TEST_CASE("a packet that may be fragmented reaches a pod with a smaller MTU") {
  const Narrow lab;
  const auto outcome =
      lab.cluster.exec("client", {"ping", "-c1", "-W2", "-M", "dont", "-s", "1472", lab.narrow.address(true).text()});
  CHECK_MESSAGE(received(outcome), outcome.output);
}

TEST_CASE("TCP gets through to a pod with a smaller MTU and from it") {
  const Narrow lab;
  const std::string data(4 << 20, 'z');
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    for (const auto& [from, to] : {std::pair{&lab.client, &lab.narrow}, std::pair{&lab.narrow, &lab.client}}) {
      const auto listener = must(Socket::tcp_listener(to->netns, to->address(v4)));
      const auto client = must(Socket::tcp_connected(from->netns, to->address(v4), must(listener.port())));
      const auto [server, peer] = must(listener.accept());
      Result<void> sent;
      std::thread sender([&] { sent = client.send(data); });
      const auto arrived = server.read(data.size());
      sender.join();
      must(sent);
      CHECK(must(Result(arrived)) == data);
    }
  }
}

TEST_CASE("a packet whose TTL has run out is answered by the node") {
  const Cluster cluster;
  const auto web = cluster.pod("web");
  const auto node = cluster.node("node-1");
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    const auto outcome = cluster.exec("client", {"ping", "-c1", "-W2", "-t1", web.address(v4).text()});
    CHECK_MESSAGE(outcome.output.find("From " + node.address(v4).text() + " ") != std::string::npos, outcome.output);
    CHECK(outcome.output.find(v4 ? "Time to live exceeded" : "Time exceeded: Hop limit") != std::string::npos);
    CHECK(received(cluster.exec("client", {"ping", "-c1", "-W2", "-t2", web.address(v4).text()})));
  }
}
