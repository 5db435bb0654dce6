// Services and endpoints change all the time, and the agent is killed at whatever moment: connections to what stays are
// not disturbed, and in the end the maps are what the objects say.
#include <doctest/doctest.h>
#include <signal.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <thread>

#include "loader/kube/folder_source.hpp"
#include "loader/observe/services.hpp"
#include "loader/state/service/compile.hpp"
#include "maps/views.hpp"
#include "tests/e2e/service_world.hpp"

using namespace sluice;
using namespace sluice::e2e;
using namespace std::chrono_literals;
namespace service = loader::state::service;

namespace {

/// SLUICE_AGENT_KILLS asks for more.
constexpr int kKills = 50;
constexpr int kServices = 25;

int kills() {
  const char* wanted = std::getenv("SLUICE_AGENT_KILLS");
  return wanted != nullptr ? std::atoi(wanted) : kKills;
}

/// Services by chance, some of which are there, with endpoints that nobody is at.
class Changes {
 public:
  std::string next() {
    std::string yaml = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: noise}}\n";
    for (int i = 1; i <= kServices; i++)
      if (number(4) != 0) yaml += some_service(i);
    return yaml;
  }
  unsigned number(unsigned below) { return static_cast<unsigned>(random_()) % below; }

 private:
  std::string some_service(int index) {
    const std::string name = "s" + std::to_string(index), ip = "10.97.0." + std::to_string(index);
    const bool two_ports = number(2) == 0, balanced = number(3) == 0;
    std::string endpoints;
    for (unsigned count = number(5); count > 0; count--)
      endpoints += "{addresses: [10.200.0." + std::to_string(1 + number(8)) +
                   "], conditions: {ready: " + (number(4) != 0 ? "true" : "false") + "}}, ";
    return "---\napiVersion: v1\nkind: Service\nmetadata: {namespace: noise, name: " + name +
           (number(5) == 0 ? ", annotations: {sluice.dev/algorithm: maglev}" : "") + "}\nspec: {clusterIP: " + ip +
           (number(3) == 0 ? ", sessionAffinity: ClientIP" : "") +
           (balanced
                ? ", type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.0/" + std::to_string(8 + number(4)) + "]"
                : "") +
           ", ports: [{name: a, port: 80}" + (two_ports ? ", {name: b, port: 81}" : "") + "]}\n" +
           (balanced ? "status: {loadBalancer: {ingress: [{ip: 203.0.113." + std::to_string(index) + "}]}}\n" : "") +
           "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {namespace: noise, name: " + name +
           "-1, labels: {kubernetes.io/service-name: " + name +
           "}}\naddressType: IPv4\nports: [{name: a, port: " + std::to_string(8080 + number(2)) +
           "}, {name: b, port: 8081}]\nendpoints: [" + endpoints + "]\n";
  }

  std::mt19937 random_{20241125};
};

/// Connections from client to the Service default/web as long as it lives, one after the other, and one that stays.
class Traffic {
 public:
  explicit Traffic(const World& world)
      : world_(world),
        at_web_(must(Socket::tcp_listener(world.web.netns, world.web.address(true), kTargetPort))),
        at_two_(must(Socket::tcp_listener(world.two.netns, world.two.address(true), kTargetPort))) {
    client_.emplace(must(Socket::tcp_connected(world.client.netns, vip(true), kServicePort)));
    server_.emplace(must(arrived()));
    runs_ = std::thread([this] { run(); });
  }
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;
  ~Traffic() {
    if (runs_.joinable()) end();
  }

  void end() {
    over_ = true;
    runs_.join();
  }
  [[nodiscard]] int made() const { return made_; }
  [[nodiscard]] const std::string& failure() const { return failure_; }

 private:
  [[nodiscard]] Result<Socket> arrived() const {
    if (auto now = at_web_.accept_now()) return std::move(now->first);
    return TRY(at_two_.accept()).first;
  }
  Result<void> once() const {
    const Socket asks = TRY(Socket::tcp_connected(world_.client.netns, vip(true), kServicePort));
    const Socket answers = TRY(arrived());
    TRY(asks.send("question"));
    if (TRY(answers.read(8)) != "question") return refuse(EIO, "another question came");
    TRY(client_->send("still here"));
    if (TRY(server_->read(10)) != "still here") return refuse(EIO, "the connection that stays carried something else");
    return {};
  }
  void run() {
    while (!over_) {
      auto done = once();
      if (!done) failure_ += done.error().message + "; ";
      if (!done) return;
      made_++;
    }
  }

  const World& world_;
  Socket at_web_, at_two_;
  std::optional<Socket> client_, server_;
  std::atomic<bool> over_ = false;
  std::atomic<int> made_ = 0;
  std::string failure_;
  std::thread runs_;
};

/// A frontend in words, and what it chooses from.
using Picture = std::map<std::string, std::string>;

template <typename Shares>
std::string text_of(std::uint32_t flags, const Shares& inside, const Shares& outside) {
  std::string text = "flags " + std::to_string(flags);
  for (const auto* shares : {&inside, &outside}) {
    text += " |";
    for (const auto& [end, share] : *shares) text += " " + end + " " + std::to_string(std::lround(share * 1e6));
  }
  return text;
}

std::string name_of(const Address& address, std::uint16_t port, std::uint8_t proto) {
  return address.text() + " " + std::to_string(port) + "/" + std::to_string(proto);
}

struct Contents {
  Picture frontends;
  std::size_t services = 0, ranges = 0, backends = 0;
  bool operator==(const Contents&) const = default;
};

Contents in_maps(const loader::Root& root) {
  const auto maps = must(loader::observe::ServiceMaps::read(root));
  Contents contents;
  const auto named = [&](const loader::observe::BackendShares& shares) {
    std::map<std::string, double> all;
    for (const auto& [number, share] : shares) {
      const auto known = maps.backends.find(number);
      REQUIRE(known != maps.backends.end());
      all[name_of(known->second.end.address, known->second.end.port, 0)] += share;
    }
    return all;
  };
  for (const auto& one : maps.frontends)
    contents.frontends[name_of(one.end.address, one.end.port, one.proto)] =
        text_of(one.flags, named(one.inside), named(one.outside));
  contents.services = must(must(maps::open<maps::Services>(root.maps())).dump()).size();
  contents.ranges = must(must(maps::open<maps::SourceRanges>(root.maps())).dump()).size();
  contents.backends = maps.backends.size();
  return contents;
}

Contents wanted(const loader::Root& root) {
  loader::state::Cluster cluster;
  (void)cluster.take(
      must(must(loader::kube::FolderSource::open(root.objects(), root.state() / "no-such-folder"))->take()));
  Contents contents;
  cluster.each<loader::kube::Service>([&](const loader::kube::Object& object, const loader::kube::Service& one) {
    const auto compiled = service::compile(object, one, cluster.slices(object.id.ns, object.id.name),
                                           {.here = {"node-1", ""}, .addresses = {}});
    for (const auto& frontend : compiled.frontends) {
      contents.services++;
      if (frontend.key.proto == 0) continue;
      const auto named = [&](const service::Slots& slots) {
        std::map<std::string, double> all;
        for (const std::uint32_t row : slots)
          all[name_of(compiled.rows[row].address, compiled.rows[row].ports[frontend.port_index].port, 0)] +=
              1.0 / static_cast<double>(slots.size());
        return all;
      };
      contents.frontends[name_of(Address(frontend.key.addr), frontend.key.port.to_host(), frontend.key.proto)] =
          text_of(frontend.flags, named(frontend.inside), named(frontend.outside));
    }
    contents.ranges += compiled.source_ranges.size();
    for (const auto& row : compiled.rows) contents.backends += row.ports.size();
  });
  return contents;
}

}  // namespace

TEST_CASE("an agent that is killed at any moment disturbs no connection, and the maps end as the objects say") {
  World world;
  const auto root = world.cluster.root("node-1");
  world.apply(service_yaml() + slices_yaml({&world.web, &world.two}));
  REQUIRE(within(5s, [&] { return world.answers(world.client, true) != "nobody"; }));
  REQUIRE(within(5s, [&] { return in_maps(root) == wanted(root); }));
  world.agent.stop(SIGKILL);
  Traffic traffic(world);
  Changes changes;
  std::atomic<bool> over = false;
  std::thread writer([&] {
    while (!over) {
      std::ofstream(root.objects() / "noise.yaml.new") << changes.next();
      std::filesystem::rename(root.objects() / "noise.yaml.new", root.objects() / "noise.yaml");
      std::this_thread::sleep_for(std::chrono::milliseconds(changes.number(20)));
    }
  });
  std::mt19937 random{7};
  int before_its_end = 0;
  for (int kill = 0; kill < kills(); kill++) {
    Process agent({binary("sluice-lab").string(), "--name", world.cluster.name(), "node", "node-1", "--",
                   binary("sluiced").string()});
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 400000));
    agent.signal(SIGKILL);
    before_its_end += agent.wait() == 128 + SIGKILL ? 1 : 0;
  }
  over = true;
  writer.join();
  CHECK(before_its_end == kills());
  world.agent.start();
  const auto objects = wanted(root);
  CHECK(within(10s, [&] { return in_maps(root) == objects; }));
  const auto found = in_maps(root);
  for (const auto& [frontend, text] : objects.frontends) {
    CAPTURE(frontend);
    CHECK(found.frontends.contains(frontend));
    if (found.frontends.contains(frontend)) CHECK(found.frontends.at(frontend) == text);
  }
  CHECK(found.services == objects.services);
  CHECK(found.ranges == objects.ranges);
  CHECK(found.backends == objects.backends);
  traffic.end();
  CHECK(traffic.failure() == "");
  CHECK(traffic.made() > kills());
  MESSAGE(kills(), " kills, ", traffic.made(), " connections meanwhile");
}
