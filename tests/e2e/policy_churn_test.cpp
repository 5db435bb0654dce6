// Policies, labels and pods change all the time, and sockets look at each packet's verdict: of either pod it must be
// one that was in force while the packet was on its way. The two pods of a connection are not switched in the same
// moment.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include <atomic>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "loader/kube/manifest.hpp"
#include "tests/e2e/policy_lab.hpp"
#include "tests/e2e/socket.hpp"
#include "tests/policy/oracle.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;
using loader::kube::Protocol;
using Clock = std::chrono::steady_clock;

namespace {

constexpr auto kDuration = 10s;
/// By then a packet that was sent has met its verdict, whatever else the machine does.
constexpr auto kJudged = 100ms;
constexpr std::uint16_t kPorts[] = {53, 80, 81};
const std::vector<std::string> kClients{"x/one", "x/two", "y/three"};
constexpr const char* kServer = "x/web";

std::string pod(const std::string& name) {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name.substr(2) + ", namespace: " + name.substr(0, 1) +
         ", labels: {app: " + name.substr(2) +
         "}}\nspec: {nodeName: node-1, containers: [{name: c, ports: [{name: dns, containerPort: 53, protocol: "
         "UDP}]}]}\n";
}

/// Sets of policies by chance.
class Changes {
 public:
  explicit Changes(std::vector<std::string> addresses) : addresses_(std::move(addresses)) {}

  std::string next() {
    std::string yaml =
        "---\n{apiVersion: v1, kind: Namespace, metadata: {name: y, labels: {team: " + some({"red", "blue"}) + "}}}\n" +
        // Pods that come and go: nobody reaches them.
        policy("z", "nobody", "podSelector: {}");
    for (int count = number(3); count > 0; count--)
      yaml += policy("x", "in-" + std::to_string(count),
                     "podSelector: {matchLabels: {app: web}}, ingress: [" + rule("from") + ", " + rule("from") + "]");
    for (const std::string& client : kClients)
      if (number(3) == 0)
        yaml += policy(client.substr(0, 1), "out-" + client.substr(2),
                       "podSelector: {matchLabels: {app: " + client.substr(2) + "}}, policyTypes: [Egress], egress: [" +
                           rule("to") + "]");
    if (number(3) == 0)
      yaml +=
          "---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: "
          "first}\nspec: {tier: " +
          some({"Admin", "Baseline"}) +
          ", priority: 1, subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: x}}}, ingress: [{action: " +
          some({"Accept", "Deny"}) +
          ", from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: " + some({"one", "two", "three"}) +
          "}}}}]}]}\n";
    return yaml;
  }

 private:
  static std::string policy(const std::string& ns, const std::string& name, const std::string& spec) {
    return "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " + name +
           ", namespace: " + ns + "}\nspec: {" + spec + "}\n";
  }

  std::string rule(const std::string& direction) {
    const std::string peer =
        some({"{namespaceSelector: {}}", "{podSelector: {}}", "{namespaceSelector: {matchLabels: {team: red}}}",
              "{podSelector: {matchLabels: {app: " + some({"one", "two", "web"}) + "}}}",
              "{ipBlock: {cidr: " + some(addresses_) + "/32}}",
              "{ipBlock: {cidr: 10.244.1.0/24, except: [" + some(addresses_) + "/32]}}"});
    const std::string port = some({"port: 53", "port: 80", "port: 80, endPort: 81", "port: dns"});
    return "{" + direction + ": [" + peer + "], ports: [{protocol: UDP, " + port + "}]}";
  }

  int number(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }
  std::string some(const std::vector<std::string>& words) {
    return words[static_cast<std::size_t>(number(static_cast<int>(words.size())))];
  }

  std::mt19937 random_{20240229};
  std::vector<std::string> addresses_;
};

/// What was in force for a time: from `begun`, when the agent could first know of it, until `over`, when it has applied
/// the next.
struct State {
  std::string yaml;
  Clock::time_point begun, over = Clock::time_point::max();
  bool allowed[3][3] = {};  ///< by client and port
};

struct Sent {
  std::size_t client = 0, port = 0;
  bool first = false;  ///< of a connection
  Clock::time_point before, after;
  std::atomic<Clock::rep> arrived = 0;
};

void judge(State& state, const std::string& objects, const PolicyLab& lab) {
  loader::state::Cluster cluster;
  loader::kube::Batch batch;
  for (auto& object : must(loader::kube::parse_manifest(objects + state.yaml, "objects"))) {
    if (auto* body = std::get_if<loader::kube::Pod>(&object.body)) {
      const Place& place = lab.place(object.id.ns + "/" + object.id.name);
      body->ips = {place.address(true), place.address(false)};
    }
    const auto id = object.id;
    batch.changes.push_back({id, std::make_shared<loader::kube::Object>(std::move(object))});
  }
  (void)cluster.take(batch);
  const auto end = [&](const std::string& name) {
    return test::End{cluster.find({"Pod", name.substr(0, 1), name.substr(2)}), nullptr, lab.place(name).address(true)};
  };
  for (std::size_t client = 0; client < kClients.size(); client++)
    for (std::size_t port = 0; port < std::size(kPorts); port++)
      state.allowed[client][port] =
          test::oracle_allows(cluster, "node-1", end(kClients[client]), end(kServer), Protocol::kUdp, kPorts[port]);
}

/// Datagrams of every client to every port all the time: as a connection that goes on, and as ones that begin.
class Traffic {
 public:
  explicit Traffic(const PolicyLab& lab) : lab_(lab), sent_(kMost) {
    for (const std::uint16_t port : kPorts) {
      servers_.push_back(must(Socket::udp(server().netns, server().address(true), port)));
      must(servers_.back().receive_buffer(8 << 20));
    }
    for (const std::string& client : kClients)
      for (std::size_t port = 0; port < std::size(kPorts); port++) running_.push_back(open(client));
    sending_ = std::thread([this] { send_all(); });
    receiving_ = std::thread([this] { receive_all(); });
  }
  ~Traffic() { stop(); }

  /// The last ones have arrived, or will not.
  void stop() {
    if (!sending_.joinable()) return;
    stop_sending_ = true;
    sending_.join();
    std::this_thread::sleep_for(5 * kJudged);
    stop_receiving_ = true;
    receiving_.join();
  }

  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] const Sent& sent(std::size_t i) const { return sent_[i]; }

 private:
  static constexpr std::size_t kMost = 200'000;

  [[nodiscard]] const Place& server() const { return lab_.place(kServer); }
  [[nodiscard]] Socket open(const std::string& client) const {
    return must(Socket::udp(lab_.place(client).netns, lab_.place(client).address(true)));
  }

  void send(const Socket& socket, std::size_t client, std::size_t port, bool first) {
    Sent& one = sent_[count_];
    one.client = client;
    one.port = port;
    one.first = first;
    one.before = Clock::now();
    must(socket.send_to(std::to_string(count_), server().address(true), kPorts[port]));
    one.after = Clock::now();
    count_++;
  }

  void send_all() {
    for (std::size_t turn = 0; !stop_sending_ && count_ + running_.size() + 1 < kMost; turn++) {
      for (std::size_t i = 0; i < running_.size(); i++)
        send(running_[i], i / std::size(kPorts), i % std::size(kPorts), false);
      const std::size_t client = turn % kClients.size();
      send(open(kClients[client]), client, turn / kClients.size() % std::size(kPorts), true);
      std::this_thread::sleep_for(1ms);
    }
  }

  void receive_all() {
    while (!stop_receiving_) {
      for (const Socket& socket : servers_)
        while (const auto datagram = socket.receive_now())
          sent_[std::stoul(datagram->data)].arrived = Clock::now().time_since_epoch().count();
      std::this_thread::sleep_for(200us);
    }
  }

  const PolicyLab& lab_;
  std::vector<Sent> sent_;
  std::size_t count_ = 0;
  std::vector<Socket> servers_, running_;
  std::atomic<bool> stop_sending_ = false, stop_receiving_ = false;
  std::thread sending_, receiving_;
};

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
    const TextFile file(pod("z/late"));
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

}  // namespace

TEST_CASE("while policies, labels and pods change, no packet meets a verdict that is not in force") {
  const std::string objects = pod("x/one") + pod("x/two") + pod("y/three") + pod("x/web");
  PolicyLab lab(node_yaml(1) + objects, {"node-1"}, {"x/one", "x/two", "y/three", "x/web"});
  std::vector<std::string> addresses;
  for (const std::string& client : kClients) addresses.push_back(lab.place(client).address(true).text());
  addresses.push_back(lab.place(kServer).address(true).text());
  Changes changes(addresses);

  std::list<State> states;
  const auto change = [&] {
    State& next = states.emplace_back();
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
  Traffic traffic(lab);
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

  std::size_t arrived = 0, certain = 0;
  std::string wrong;
  for (std::size_t i = 0; i < traffic.count(); i++) {
    const Sent& sent = traffic.sent(i);
    const bool came = sent.arrived != 0;
    const auto last = came ? Clock::time_point(Clock::duration(sent.arrived)) : sent.after + kJudged;
    bool may_come = false, may_not = false;
    for (const State& state : states) {
      if (state.begun > last || state.over < sent.before) continue;
      (state.allowed[sent.client][sent.port] ? may_come : may_not) = true;
    }
    arrived += came ? 1 : 0;
    certain += may_come != may_not ? 1 : 0;
    if (came ? may_come : may_not) continue;
    wrong += std::string(sent.first ? "the first" : "a later") + " packet of " + kClients[sent.client] + " to port " +
             std::to_string(kPorts[sent.port]) + (came ? " arrived" : " was lost") + "\n";
  }
  MESSAGE(traffic.count(), " packets, ", certain, " with one verdict possible, ", arrived, " arrived; ", states.size(),
          " sets of policies, ", pods, " pods");
  CHECK_MESSAGE(wrong.empty(), wrong.substr(0, 2000));
  CHECK(certain > traffic.count() / 4);
  CHECK(arrived > traffic.count() / 10);
  CHECK(arrived < traffic.count() - traffic.count() / 10);
  CHECK(pods > 2);
  // What tells a pod that was reached would have told.
  lab.put("");
  const TextFile file(pod("w/free"));
  const Spray spray(lab.place("y/three"));
  REQUIRE(lab.cluster().lab({"apply", file.path()}).status == 0);
  const Place free = lab.cluster().pod("w/free");
  CHECK(within(5s, [&] { return received_by(free) > 0; }));
}
