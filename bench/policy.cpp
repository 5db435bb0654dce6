/// What policy costs: a packet in the programs, by BPF_PROG_TEST_RUN, with 0, 100 and 10,000 policies in the cluster,
/// and a change of one of them in the compiler and the maps. Prints Markdown tables; the contenders of a table take
/// turns.
///
/// The cluster: 500 namespaces; 5,000 pods with 1,000 sets of labels, two of them on this node and the rest elsewhere;
/// each policy has a port, a selector of pods and an address block of its own. Of every 500 policies, one is for the
/// pods here.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>

#include "bench/measure.hpp"
#include "loader/program/pin.hpp"
#include "loader/state/policy/policies.hpp"
#include "maps/views.hpp"
#include "tests/datapath/datapath.hpp"
#include "tests/loader/node.hpp"

// The skeleton names the layouts as C does.
using sluice::maps::flow_entry;
using sluice::maps::flow_key;
#include "bench.skel.h"

namespace sluice::bench {
namespace {

using namespace sluice::test;
using namespace loader::kube;
using loader::state::Cluster;
using loader::state::policy::LocalPod;
using loader::state::policy::Policies;
using Clock = std::chrono::steady_clock;

constexpr int kCalls = 100, kHops = 250, kFlowsInCall = 1000;
constexpr int kNamespaces = 500, kPods = 5000, kChanges = 21;
constexpr int kPolicies[] = {0, 100, 10'000};
constexpr std::uint32_t kTable = 262144;

Address address(const std::string& text) { return must(Address::parse(text)); }
std::string ns_of(int i) { return "ns-" + std::to_string(i % kNamespaces); }
/// Two in each namespace.
std::string app_of(int i) { return i / kNamespaces % 2 == 0 ? "web" : "db"; }

void put(Batch& batch, const ObjectId& id, const Labels& labels, const Body& body) {
  auto object = std::make_shared<Object>();
  object->id = id;
  object->labels = labels;
  object->body = body;
  batch.changes.push_back({id, std::move(object)});
}

/// The first allows the pods here all that they do to each other.
NetworkPolicy policy(int i, std::uint16_t port) {
  PolicyRule rule;
  rule.peers.emplace_back(PodPeer{{}, {{{"app", LabelRequirement::Operator::kIn, {app_of(i)}}}}});
  rule.peers.emplace_back(
      IpBlock{{address("100." + std::to_string(i / 256) + "." + std::to_string(i % 256) + ".0"), 24}, {}});
  if (i != 0) rule.ports.push_back({Protocol::kTcp, port, port, {}});
  NetworkPolicy policy;
  policy.pods = {{{"app", LabelRequirement::Operator::kIn, {app_of(i)}}}};
  policy.ingress = {rule};
  return policy;
}

Cluster cluster_with(int policies) {
  Batch batch;
  for (int i = 0; i < kNamespaces; i++) put(batch, {"Namespace", "", ns_of(i)}, {{"n", ns_of(i)}}, Namespace{});
  loader::kube::Node node;
  node.internal_addresses = {address("172.18.0.11")};
  put(batch, {"Node", "", "node-1"}, {}, node);
  for (int i = 0; i < kPods; i++) {
    const bool here = i == 0 || i == 2 * kNamespaces;
    Pod pod;
    pod.node_name = here ? "node-1" : "node-2";
    pod.ips = {here ? address(i == 0 ? "10.0.0.5" : "10.0.0.6")
                    : address("10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1))};
    put(batch, {"Pod", ns_of(i), "pod-" + std::to_string(i)}, {{"app", app_of(i)}}, pod);
  }
  for (int i = 0; i < policies; i++)
    put(batch, {"NetworkPolicy", ns_of(i), "policy-" + std::to_string(i)}, {}, policy(i, 80));
  Cluster cluster;
  (void)cluster.take(batch);
  return cluster;
}

std::vector<LocalPod> local() {
  return {{ns_of(0), "pod-0", {address("10.0.0.5")}},
          {ns_of(0), "pod-" + std::to_string(2 * kNamespaces), {address("10.0.0.6")}}};
}

/// The programs with this many policies in force.
struct World {
  explicit World(int count) : policies(count), cluster(cluster_with(count)), programs({.flows = kTable}) {
    // With one MAC address for all, a packet is ready for the next run as it was left by the last.
    programs.pod("web", "10.0.0.5", "fd00::5", {.mac = loader::kHostMac})
        .pod("db", "10.0.0.6", "fd00::6", {.mac = loader::kHostMac});
    must(loader::program::prepare_pins(node.root()));
    std::filesystem::create_directories(node.root().run());  // of its locks
    programs.pin_maps(node.root().maps());
    agent = std::make_unique<Policies>(must(Policies::open(node.root())));
    first_ms = update();
  }

  /// Milliseconds until what the cluster says is in force, where no more than `changed` has changed; null: all may
  /// have.
  double update(const std::vector<ObjectId>* changed = nullptr) {
    const auto begin = Clock::now();
    must(agent->update(cluster, "node-1", local(), true, {}, changed));
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  }

  int policies;
  Cluster cluster;
  test::Node node;
  Datapath programs;
  std::unique_ptr<Policies> agent;
  double first_ms = 0;
};

using Worlds = std::vector<std::unique_ptr<World>>;

std::string with_policies(const char* what, const World& world) {
  return std::string(what) + ", " + std::to_string(world.policies) + " policies";
}

Bytes frame(const Packet& packet) { return packet.frame(loader::kHostMac, loader::kHostMac); }

void packets(const Worlds& worlds, bench_bpf& bench) {
  const Packet known = tcp("10.0.0.5:999", "10.0.0.6:80").ttl(255), fresh = udp("10.0.0.5:1", "10.0.0.6:1");
  const int nothing = bpf_program__fd(bench.progs.nothing), next = bpf_program__fd(bench.progs.next_flow),
            slots = bpf_map__fd(bench.maps.under_test);
  const auto ifindex = worlds[0]->programs.ifindex("web");
  std::vector<Contender> established{{"nothing", [=] { return run(nothing, frame(known), ifindex, kHops, kCalls); }}};
  const auto begun = [=](int program) {
    return [=] {
      const std::uint32_t slot = 0;
      need(bpf_map_update_elem(slots, &slot, &program, BPF_ANY) == 0, "choose the program under test");
      return run(next, frame(fresh), ifindex, kFlowsInCall, 1);
    };
  };
  std::vector<Contender> first{{"nothing", begun(nothing)}};
  print_paths_head();
  for (const auto& world : worlds) {
    Datapath& programs = world->programs;
    for (const auto& [what, packet] : {std::pair("established", known), std::pair("first", fresh)}) {
      // The first one begins the connection that the other belongs to.
      const auto path = programs.path_from_pod(
          "web", what == std::string("first") ? packet : (programs.from_pod("web", packet), packet));
      if (programs.from_pod("web", packet).verdict != delivered_to("db"))
        throw std::runtime_error("the packet is not delivered");
      print_path(with_policies(what, *world), path);
    }
    const int program = programs.program("from_pod");
    established.push_back(
        {with_policies("established", *world), [=] { return run(program, frame(known), ifindex, kHops, kCalls); }});
    first.push_back({with_policies("first", *world), begun(program)});
  }
  measure_and_print("established packet, TCP over IPv4", std::move(established));
  measure_and_print("first packet of a connection, UDP over IPv4", std::move(first));
}

std::size_t entries(int map) {
  std::vector<char> key(64);
  std::size_t count = 0;
  for (const void* last = nullptr; bpf_map_get_next_key(map, last, key.data()) == 0; last = key.data()) count++;
  return count;
}

void changes(const Worlds& worlds) {
  std::printf(
      "\n| policies | all of them compiled and written, ms | one of them changed, ms | `policy_ports` | `peers` | "
      "`ipcache` |\n|--:|--:|--:|--:|--:|--:|\n");
  for (const auto& world : worlds) {
    std::vector<double> samples;
    // One that is for the pods here, so that there is something to write.
    for (int change = 0; change < kChanges && world->policies > 0; change++) {
      Batch batch;
      auto changed = policy(0, 80);
      changed.ingress.push_back(policy(1, static_cast<std::uint16_t>(1000 + change)).ingress[0]);
      put(batch, {"NetworkPolicy", ns_of(0), "policy-0"}, {}, changed);
      const auto ids = world->cluster.take(batch);
      samples.push_back(world->update(&ids));
    }
    const auto maps = world->node.root().maps();
    std::printf("| %d | %.1f | %s | %zu | %zu | %zu |\n", world->policies, world->first_ms,
                samples.empty() ? "" : spread(samples, 1).c_str(),
                entries(must(maps::open<maps::PolicyPorts>(maps)).fd().get()),
                entries(must(maps::open<maps::Peers>(maps)).fd().get()),
                entries(must(maps::open<maps::Ipcache>(maps)).fd().get()));
  }
}

}  // namespace
}  // namespace sluice::bench

int main() {
  using namespace sluice;
  try {
    test::Node::enter_namespaces();
    test::Datapath::enter_namespace();
    bench::Worlds worlds;
    for (const int policies : bench::kPolicies) worlds.push_back(std::make_unique<bench::World>(policies));
    bench_bpf* programs = bench_bpf::open_and_load();
    bench::need(programs != nullptr, "load bench.bpf.o");
    bench::packets(worlds, *programs);
    bench::changes(worlds);
    bench_bpf::destroy(programs);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_policy: %s\n", error.what());
    return 1;
  }
  return 0;
}
