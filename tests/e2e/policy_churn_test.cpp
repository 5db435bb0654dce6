// Policies, labels and pods change all the time, and sockets look at each packet's verdict: it must be one that was in
// force while the packet was on its way. Of two pods on one node that is a verdict of both together; two nodes do not
// switch in the same moment, and each judges its own end.
#include <doctest/doctest.h>

#include <atomic>
#include <fstream>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "tests/e2e/policy_traffic.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;

namespace {

constexpr auto kDuration = 10s;

/// Datagrams that arrived in the pod, whether a socket was there or not.
std::uint64_t received_by(const Place& place) {
  std::uint64_t sum = 0;
  must(place.netns.run([&]() -> Result<void> {
    std::ifstream v4("/proc/thread-self/net/snmp"), v6("/proc/thread-self/net/snmp6");
    std::string word;
    std::uint64_t in = 0, no_port = 0;
    for (std::string line; std::getline(v4, line);) {
      std::istringstream words(line);
      // "Udp: InDatagrams NoPorts ...", first in words and then in numbers.
      if (words >> word >> in >> no_port && word == "Udp:") sum += in + no_port;
    }
    while (v6 >> word >> in)
      if (word == "Udp6InDatagrams" || word == "Udp6NoPorts") sum += in;
    return {};
  }));
  return sum;
}

/// Sends to every address that a pod to come may get.
class Spray {
 public:
  explicit Spray(const Place& from) : from_(from), thread_([this] { send_all(); }) {}
  ~Spray() {
    stop_ = true;
    thread_.join();
  }

 private:
  void send_all() const {
    const auto v4 = must(Socket::udp(from_.netns, from_.address(true)));
    const auto v6 = must(Socket::udp(from_.netns, from_.address(false)));
    for (unsigned turn = 0; !stop_; turn++) {
      const unsigned host = 6 + turn % 240;
      // Where there is no pod, an answer says so: that is no failure.
      (void)v4.send_to("x", Address::from_number(from_.address(true).number() / 256 * 256 + host), 9);
      (void)v6.send_to("x", Address::from_number(from_.address(false).number() / 256 * 256 + host), 9);
      if (turn % 16 == 0) std::this_thread::sleep_for(1ms);
    }
  }

  const Place& from_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

/// Pods come and go until the end, each one looked at before it goes. Returns how many there were.
unsigned come_and_go(const PolicyLab& lab, Clock::time_point end, std::string& reached) {
  unsigned pods = 0;
  for (; Clock::now() < end; pods++) {
    const TextFile file(traffic_pod("z/late"));
    const auto added = lab.cluster().lab({"apply", file.path()});
    if (added.status != 0) reached += added.output;
    if (added.status != 0) continue;
    std::this_thread::sleep_for(20ms);
    if (const auto got = received_by(lab.cluster().pod("z/late")); got != 0)
      reached += "pod " + std::to_string(pods) + " got " + std::to_string(got) + " datagrams\n";
    (void)lab.cluster().lab({"delete", file.path()});
  }
  return pods;
}

/// `objects`: nodes and the four pods, of which the clients' in `far` are on another node than the server's.
void churn(const std::string& objects, const std::vector<std::string>& nodes, const std::set<std::string>& far) {
  PolicyLab lab(objects, nodes, {"x/one", "x/two", "y/three", "x/web"});
  PolicyChanges changes(lab);

  std::list<PolicyState> states;
  const auto change = [&] {
    PolicyState& next = states.emplace_back();
    next.yaml = changes.next();
    judge(next, objects, lab);
    next.begun = Clock::now();
    lab.put(next.yaml);
    if (states.size() > 1) std::prev(states.end(), 2)->over = Clock::now();
  };
  change();

  const auto end = Clock::now() + kDuration;
  std::string reached;
  unsigned pods = 0;
  PolicyTraffic traffic(lab);
  {
    const Spray spray(lab.place("y/three"));
    std::thread pods_change([&] { pods = come_and_go(lab, end, reached); });
    std::mt19937 random(7);
    while (Clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % 40));
      change();
    }
    pods_change.join();
  }
  traffic.stop();
  CHECK_MESSAGE(reached.empty(), reached);
  traffic.check(states, far);
  CHECK(pods > 2);
  // What tells a pod that was reached would have told.
  lab.put("");
  const TextFile file(traffic_pod("w/free"));
  const Spray spray(lab.place("y/three"));
  REQUIRE(lab.cluster().lab({"apply", file.path()}).status == 0);
  const Place free = lab.cluster().pod("w/free");
  CHECK(within(5s, [&] { return received_by(free) > 0; }));
}

}  // namespace

TEST_CASE("while policies, labels and pods change, no packet meets a verdict that is not in force") {
  churn(node_yaml(1) + traffic_pod("x/one") + traffic_pod("x/two") + traffic_pod("y/three") + traffic_pod("x/web"),
        {"node-1"}, {});
}

TEST_CASE("nor does one that goes through a tunnel, at the end that each node judges") {
  churn(overlay_node_yaml(1) + overlay_node_yaml(2) + traffic_pod("x/one") + traffic_pod("x/two", "node-2") +
            traffic_pod("y/three") + traffic_pod("x/web", "node-2"),
        {"node-1", "node-2"}, {"x/one", "y/three"});
}
