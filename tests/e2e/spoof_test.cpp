#include <doctest/doctest.h>

#include "tests/e2e/cluster.hpp"
#include "tests/e2e/socket.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;

TEST_CASE("a pod cannot send from an address that is not its own") {
  const Cluster cluster;
  const auto client = cluster.pod("client");
  const auto web = cluster.pod("web");
  const char* const sources[] = {"10.244.1.77",       "172.18.0.11",     "10.244.2.2", "8.8.8.8",
                                 "fd00:10:244:1::77", "fd00:172:18::11", "2001:db8::1"};
  for (const char* text : sources) {
    CAPTURE(std::string(text));
    const auto source = must(Address::parse(text));
    const auto server = must(Socket::udp(web.netns, web.address(source.is_v4())));
    const auto spoofer = must(Socket::udp(client.netns, source));
    const auto before = cluster.packets("node-1", maps::DROP_SOURCE_SPOOFED);
    must(spoofer.send_to("x", web.address(source.is_v4()), must(server.port())));
    CHECK(within(2s, [&] { return cluster.packets("node-1", maps::DROP_SOURCE_SPOOFED) == before + 1; }));
    CHECK(server.receive_now().failed_with(EAGAIN));
  }
}

TEST_CASE("a pod cannot send into another pod's connection") {
  const Cluster cluster(node_yaml(1) + pod_yaml("client", "node-1") + pod_yaml("web", "node-1") +
                        pod_yaml("thief", "node-1"));
  const auto client = cluster.pod("client");
  const auto web = cluster.pod("web");
  const auto thief = cluster.pod("thief");
  for (const bool v4 : {true, false}) {
    CAPTURE(v4);
    const auto server = must(Socket::udp(web.netns, web.address(v4)));
    const auto rightful = must(Socket::udp(client.netns, client.address(v4)));
    must(rightful.send_to("mine", web.address(v4), must(server.port())));
    CHECK(must(server.receive()).data == "mine");

    const auto spoofer = must(Socket::udp(thief.netns, client.address(v4), must(rightful.port())));
    const auto before = cluster.packets("node-1", maps::DROP_SOURCE_SPOOFED);
    must(spoofer.send_to("stolen", web.address(v4), must(server.port())));
    CHECK(within(2s, [&] { return cluster.packets("node-1", maps::DROP_SOURCE_SPOOFED) == before + 1; }));
    must(rightful.send_to("mine again", web.address(v4), must(server.port())));
    CHECK(must(server.receive()).data == "mine again");
  }
}

TEST_CASE("a pod cannot send from a MAC address that is not its own") {
  const Cluster cluster;
  const auto client = cluster.pod("client");
  const auto web = cluster.pod("web");
  const auto send = [&](bool v4, const std::string& data) {
    auto server = must(Socket::udp(web.netns, web.address(v4)));
    const auto socket = must(Socket::udp(client.netns, client.address(v4)));
    must(socket.send_to(data, web.address(v4), must(server.port())));
    return server;
  };
  for (const bool v4 : {true, false}) CHECK(send(v4, "before").receive());
  const auto changed = cluster.exec("client", {"ip", "link", "set", "eth0", "address", "02:00:00:00:00:99"});
  REQUIRE_MESSAGE(changed.status == 0, changed.output);
  for (const bool v4 : {true, false}) {
    CAPTURE(v4);
    const auto before = cluster.packets("node-1", maps::DROP_SOURCE_MAC);
    const auto server = send(v4, "after");
    CHECK(within(2s, [&] { return cluster.packets("node-1", maps::DROP_SOURCE_MAC) > before; }));
    CHECK(server.receive_now().failed_with(EAGAIN));
  }
}
