// Outside clients that the endpoint's node answers itself (loadBalancerMode: dsr).
#include <doctest/doctest.h>

#include <cerrno>
#include <future>

#include "maps/views.hpp"
#include "tests/e2e/node_pair.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;

namespace {

/// What tcpdump makes of the packets on the uplink of `node` while `work` runs.
template <typename Work>
std::string captured(const NodePair& lab, const std::string& node, const std::string& filter, Work work) {
  auto output = std::async(std::launch::async, [&] {
    return lab.cluster.on_node(node, {"timeout", "4", "tcpdump", "-nn", "-l", "-T", "vxlan", "-i", "eth0", filter})
        .output;
  });
  std::this_thread::sleep_for(1500ms);  // tcpdump says when it listens, but only to who reads along
  work();
  return output.get();
}

void forget_flows(const loader::Root& root) {
  auto flows = must(maps::open<maps::Flows>(root.maps()));
  for (const auto& [key, entry] : must(flows.dump())) (void)flows.erase(key);
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("an endpoint of another node sees the client itself and answers it directly, by whichever program is asked") {
  for (const std::string xdp : {"off", "native"}) {
    CAPTURE(xdp);
    NodePair lab("overlay", std::string(R"("loadBalancerMode": "dsr", "xdp": ")") + xdp + '"');
    lab.wire("node-1");
    lab.apply(balanced_yaml("Cluster") + slices_yaml({&lab.there}));
    for (const bool v4 : kFamilies) {
      CAPTURE(v4);
      REQUIRE(within(5s, [&] { return lab.answers(v4); }));
      const auto by_tunnel = lab.forwarded("node-1", maps::HOOK_FROM_OVERLAY);
      const auto by_xdp = lab.forwarded("node-1", maps::HOOK_XDP_UPLINK);
      exchange(lab.world, lab.node.address(v4), kNodePort, lab.there, lab.world.address(v4));
      exchange(lab.world, balancer(v4), 80, lab.there, lab.world.address(v4));
      ask_by_udp(lab.world, lab.node.address(v4), kNodePort, lab.there, lab.world.address(v4));
      ask_by_udp(lab.world, balancer(v4), 80, lab.there, lab.world.address(v4));
      CHECK(lab.forwarded("node-1", maps::HOOK_FROM_OVERLAY) == by_tunnel);
      CHECK((lab.forwarded("node-1", maps::HOOK_XDP_UPLINK) > by_xdp + 2000) == (xdp == "native"));
      // A node is a client of the cluster, and goes by the node that it asks.
      exchange(lab.other_node, lab.node.address(v4), kNodePort, lab.there, lab.node.address(v4));
    }
  }
}

TEST_CASE("a connection outlives the loss of all that both nodes know of it") {
  const NodePair lab("overlay", R"("loadBalancerMode": "dsr")");
  lab.apply(balanced_yaml("Cluster") + slices_yaml({&lab.there}));
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    REQUIRE(within(5s, [&] { return lab.answers(v4); }));
    const Socket listener = must(Socket::tcp_listener(lab.there.netns, lab.there.address(v4), kTargetPort));
    const Socket client = must(Socket::tcp_connected(lab.world.netns, lab.node.address(v4), kNodePort));
    const auto [server, peer] = must(listener.accept());
    for (const char* loses : {"nobody", "node-1", "node-2"}) {
      CAPTURE(loses);
      if (loses != std::string("nobody")) forget_flows(lab.cluster.root(loses));
      must(client.send("there"));
      CHECK(must(server.read(5)) == "there");
      must(server.send("back"));
      CHECK(must(client.read(4)) == "back");
    }
  }
}

TEST_CASE("the endpoint is told of a client that is no longer there") {
  const NodePair lab("overlay", R"("loadBalancerMode": "dsr")");
  lab.apply(balanced_yaml("Cluster") + slices_yaml({&lab.there}));
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    REQUIRE(within(5s, [&] { return lab.answers(v4); }));
    Socket server = must(Socket::udp(lab.there.netns, lab.there.address(v4), kTargetPort));
    std::uint16_t port = 0;
    {
      const Socket client = must(Socket::udp(lab.world.netns, lab.world.address(v4)));
      must(client.send_to("hello", lab.node.address(v4), kNodePort));
      port = must(server.receive()).port;
    }
    must(server.connect(lab.world.address(v4), port));
    must(server.send("anybody there?"));
    CHECK(server.receive().failed_with(ECONNREFUSED));
  }
}

TEST_CASE("on the wire the client's packet is in the tunnel as it came, and the answer is in none") {
  const NodePair lab("overlay", R"("loadBalancerMode": "dsr")");
  lab.apply(balanced_yaml("Cluster") + slices_yaml({&lab.there}));
  REQUIRE(within(5s, [&] { return lab.answers(true); }));
  const Socket server = must(Socket::udp(lab.there.netns, lab.there.address(true), kTargetPort));
  const Socket client = must(Socket::udp(lab.world.netns, lab.world.address(true), 20000));
  const std::string seen = captured(lab, "node-2", "udp", [&] {
    must(client.send_to("question", lab.node.address(true), kNodePort));
    const Datagram question = must(server.receive());
    must(server.send_to("answer", question.from, question.port));
    CHECK(must(client.receive()).data == "answer");
  });
  const std::string there = "IP 198.51.100.1.20000 > 172.18.0.11.30080: ",
                    back = "IP 172.18.0.11.30080 > 198.51.100.1.20000: ";
  CAPTURE(seen);
  const auto question = seen.find(there), answer = seen.find(back);
  REQUIRE(question != std::string::npos);
  REQUIRE(answer != std::string::npos);
  CHECK(has(seen, "172.18.0.12.8472: VXLAN, flags [I] (0x08), vni 4096\n" + there));
  CHECK(answer > question);
  CHECK(!has(seen, "vni 4096\n" + back));
}
