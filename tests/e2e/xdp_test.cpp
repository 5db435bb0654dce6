// Outside clients of endpoints on another node, carried on by xdp_uplink of the node that they ask.
#include <doctest/doctest.h>

#include "tests/e2e/node_pair.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;

TEST_CASE("clients and endpoints of another node exchange megabytes through xdp_uplink, attached either way") {
  for (const std::string how : {R"("xdp": "native")", R"("xdp": "generic")"}) {
    CAPTURE(how);
    NodePair lab("overlay", how);
    lab.wire("node-1");
    lab.apply(balanced_yaml("Cluster") + slices_yaml({&lab.there}));
    for (const bool v4 : kFamilies) {
      CAPTURE(v4);
      REQUIRE(within(5s, [&] { return lab.answers(v4); }));
      const auto before = lab.forwarded("node-1", maps::HOOK_XDP_UPLINK);
      exchange(lab.world, lab.node.address(v4), kNodePort, lab.there, lab.node.address(v4));
      exchange(lab.world, balancer(v4), 80, lab.there, lab.node.address(v4));
      // 4 MiB each way, twice, are some 12,000 segments.
      CHECK(lab.forwarded("node-1", maps::HOOK_XDP_UPLINK) > before + 8000);
      ask_by_udp(lab.world, lab.node.address(v4), kNodePort, lab.there, lab.node.address(v4));
    }
  }
}

TEST_CASE("what senders on this machine leave to devices goes by from_uplink, and XDP harms nothing of it") {
  const NodePair lab("overlay", R"("xdp": "generic")");
  lab.apply(balanced_yaml("Cluster") + slices_yaml({&lab.there}));
  for (const bool v4 : kFamilies) {
    CAPTURE(v4);
    REQUIRE(within(5s, [&] { return lab.answers(v4); }));
    exchange(lab.world, lab.node.address(v4), kNodePort, lab.there, lab.node.address(v4));
    exchange(lab.here, lab.there.address(v4), kTargetPort, lab.there, lab.here.address(v4));
  }
}
