/// What policy costs: a packet in the programs, by BPF_PROG_TEST_RUN, with 0, 100 and 10,000 policies in the cluster,
/// and a change of one of them in the compiler and the maps. Prints Markdown tables; the contenders of a table take
/// turns.
///
/// The cluster: 500 namespaces; 5,000 pods with 1,000 sets of labels, a hundred of them on this node and the rest
/// elsewhere; each policy has a port, selectors of pods and of namespaces and an address block of its own. Of every
/// five policies, one is in the namespace of a pod here. The last contender has one policy more, of 10,000 address
/// blocks, for pods here.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
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
constexpr int kNamespaces = 500, kPods = 5000, kEachHere = 51, kBlocks = 10'000, kChanges = 41;
constexpr struct {
  int policies, blocks;  ///< blocks: of one policy more
} kSizes[] = {{0, 0}, {100, 0}, {10'000, 0}, {10'000, kBlocks}};
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
  rule.peers.emplace_back(PodPeer{LabelSelector{{{"n", LabelRequirement::Operator::kIn, {ns_of(i + 1)}}}}, {}});
  rule.peers.emplace_back(
      IpBlock{{address("100." + std::to_string(i / 256) + "." + std::to_string(i % 256) + ".0"), 24}, {}});
  if (i != 0) rule.ports.push_back({Protocol::kTcp, port, port, {}});
  NetworkPolicy policy;
  policy.pods = {{{"app", LabelRequirement::Operator::kIn, {app_of(i)}}}};
  policy.ingress = {rule};
  return policy;
}

std::string pod_name(int i) { return "pod-" + std::to_string(i); }
/// In as many namespaces, but for the two of ns-0 that packets are between.
bool is_here(int i) { return i % kEachHere == 0 || i == 2 * kNamespaces; }
Address pod_address(int i) {
  if (i == 0) return address("10.0.0.5");
  if (i == 2 * kNamespaces) return address("10.0.0.6");
  return address(std::string(is_here(i) ? "10.0." : "10.1.") + std::to_string(i / 250 + 1) + "." +
                 std::to_string(i % 250 + 1));
}

void put_namespace(Batch& batch, int i, const char* team) {
  put(batch, {"Namespace", "", ns_of(i)}, {{"n", ns_of(i)}, {"team", team}}, Namespace{});
}

void put_pod(Batch& batch, int i, const Labels& more = {}) {
  Pod pod;
  pod.node_name = is_here(i) ? "node-1" : "node-2";
  pod.ips = {pod_address(i)};
  Labels labels{{"app", app_of(i)}};
  labels.insert(more.begin(), more.end());
  put(batch, {"Pod", ns_of(i), pod_name(i)}, labels, pod);
}

/// `first` instead of its first block.
void put_blocks(Batch& batch, int blocks, const std::string& first) {
  NetworkPolicy policy;
  policy.pods = {{{"app", LabelRequirement::Operator::kIn, {app_of(0)}}}};
  policy.ingress.resize(1);
  for (int i = 0; i < blocks; i++)
    policy.ingress[0].peers.emplace_back(IpBlock{
        {address(i == 0 ? first : "101." + std::to_string(i / 256) + "." + std::to_string(i % 256) + ".0"), 24}, {}});
  put(batch, {"NetworkPolicy", ns_of(0), "blocks"}, {}, policy);
}

Cluster cluster_with(int policies, int blocks) {
  Batch batch;
  for (int i = 0; i < kNamespaces; i++) put_namespace(batch, i, "red");
  loader::kube::Node node;
  node.internal_addresses = {address("172.18.0.11")};
  put(batch, {"Node", "", "node-1"}, {}, node);
  for (int i = 0; i < kPods; i++) put_pod(batch, i);
  for (int i = 0; i < policies; i++)
    put(batch, {"NetworkPolicy", ns_of(i), "policy-" + std::to_string(i)}, {}, policy(i, 80));
  if (blocks > 0) put_blocks(batch, blocks, "101.0.0.0");
  Cluster cluster;
  (void)cluster.take(batch);
  return cluster;
}

std::vector<LocalPod> local() {
  std::vector<LocalPod> pods;
  for (int i = 0; i < kPods; i++)
    if (is_here(i)) pods.push_back({ns_of(i), pod_name(i), {pod_address(i)}});
  return pods;
}

/// The moment of the datapath, and when it came last.
class NotedMoment : public loader::state::policy::Moment {
 public:
  NotedMoment(std::unique_ptr<Moment> real, Clock::time_point& switched)
      : real_(std::move(real)), switched_(switched) {}

  [[nodiscard]] std::uint32_t generation() const override { return real_->generation(); }
  void switch_generation() override {
    real_->switch_generation();
    switched_ = Clock::now();
  }
  void advance_epoch() override { real_->advance_epoch(); }
  Result<void> wait_for_programs() override { return real_->wait_for_programs(); }

 private:
  std::unique_ptr<Moment> real_;
  Clock::time_point& switched_;
};

double milliseconds(Clock::duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

/// What an update takes, in milliseconds.
struct Took {
  double in_force = 0;  ///< until the next packet is judged by it
  double all = 0;
  std::size_t written = 0;
};

/// The programs with this many policies in force.
struct World {
  World(int policy_count, int block_count)
      : policies(policy_count),
        blocks(block_count),
        cluster(cluster_with(policy_count, block_count)),
        programs({.flows = kTable, .endpoints = kTable}) {
    // With one MAC address for all, a packet is ready for the next run as it was left by the last.
    programs.pod("web", "10.0.0.5", "fd00::5", {.mac = loader::kHostMac})
        .pod("db", "10.0.0.6", "fd00::6", {.mac = loader::kHostMac});
    must(loader::program::prepare_pins(node.root()));
    std::filesystem::create_directories(node.root().run());  // of its locks
    programs.pin_maps(node.root().maps());
    auto endpoints = must(maps::open<maps::Endpoints>(node.root().maps()));
    for (const LocalPod& pod : local())
      if (!must(endpoints.lookup(pod.addresses[0].wire()))) must(endpoints.put(pod.addresses[0].wire(), {}));
    auto store = must(loader::state::policy::Store::open(node.root()));
    store.moment = std::make_unique<NotedMoment>(std::move(store.moment), switched);
    agent = std::make_unique<Policies>(must(Policies::open(std::move(store))));
    first = update();
  }

  /// Brings into force what the cluster says, where no more than `changed` has changed; null: all may have.
  Took update(const std::vector<ObjectId>* changed = nullptr) {
    const auto begin = Clock::now();
    const auto report = must(agent->update(cluster, "node-1", pods, true, {}, changed));
    return {milliseconds(switched - begin), milliseconds(Clock::now() - begin), report.written};
  }

  int policies, blocks;
  Cluster cluster;
  std::vector<LocalPod> pods = local();
  test::Node node;
  Datapath programs;
  Clock::time_point switched;
  std::unique_ptr<Policies> agent;
  Took first;
};

using Worlds = std::vector<std::unique_ptr<World>>;

std::string name_of(const World& world) {
  return std::to_string(world.policies) + " policies" +
         (world.blocks > 0 ? " and one of " + std::to_string(world.blocks) + " blocks" : "");
}
std::string with_policies(const char* what, const World& world) { return std::string(what) + ", " + name_of(world); }

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

std::size_t identities(const std::filesystem::path& maps) {
  std::set<std::uint32_t> all;
  must(must(maps::open<maps::Ipcache>(maps)).each([&](const auto&, const maps::ipcache_entry& entry) {
    all.insert(entry.classes[0].identity);
  }));
  must(must(maps::open<maps::Endpoints>(maps)).each([&](const auto&, const maps::endpoint& pod) {
    all.insert(pod.policy[0].classes.identity);
  }));
  return all.size();
}

void print_sizes(const Worlds& worlds) {
  std::printf(
      "\n| policies | all of them compiled and in force, ms | identities | rule sets | `policy_ports` | `peers` | "
      "`ipcache` |\n|:--|--:|--:|--:|--:|--:|--:|\n");
  for (const auto& world : worlds) {
    const auto maps = world->node.root().maps();
    std::size_t rule_sets = 0;
    must(must(maps::open<maps::Policies>(maps)).each([&](std::uint32_t, const maps::policy& policy) {
      rule_sets += policy.flags != 0 ? 1 : 0;
    }));
    std::printf("| %s | %.1f | %zu | %zu | %zu | %zu | %zu |\n", name_of(*world).c_str(), world->first.in_force,
                identities(maps), rule_sets, entries(must(maps::open<maps::PolicyPorts>(maps)).fd().get()),
                entries(must(maps::open<maps::Peers>(maps)).fd().get()),
                entries(must(maps::open<maps::Ipcache>(maps)).fd().get()));
  }
}

/// Something that happens to a cluster; `turn` tells one time from the next.
struct Happening {
  const char* what;
  bool needs_policies, needs_blocks;
  std::function<void(Batch&, int turn)> happens;
};

/// All of them are something to write.
std::vector<Happening> happenings() {
  return {{"a port of a policy", true, false,
           [](Batch& batch, int turn) {
             auto changed = policy(0, 80);
             changed.ingress.push_back(policy(1, static_cast<std::uint16_t>(1000 + turn)).ingress[0]);
             put(batch, {"NetworkPolicy", ns_of(0), "policy-0"}, {}, changed);
           }},
          {"a new policy, or its end", true, false,
           [](Batch& batch, int turn) {
             const ObjectId id{"NetworkPolicy", ns_of(0), "new"};
             put(batch, id, {}, policy(kNamespaces * 2, 99));
             if (turn % 2 != 0) batch.changes.back().object = nullptr;
           }},
          {"a pod's labels", false, false,
           [](Batch& batch, int turn) {
             put_pod(batch, kNamespaces + 1, {{"turn", std::to_string(turn)}});
           }},
          {"the labels of a namespace with pods here", false, false,
           [](Batch& batch, int turn) { put_namespace(batch, 0, turn % 2 != 0 ? "red" : "blue"); }},
          {"the labels of a namespace elsewhere", false, false,
           [](Batch& batch, int turn) { put_namespace(batch, 1, turn % 2 != 0 ? "red" : "blue"); }},
          {"an address block around every pod, new or gone", true, false,
           [](Batch& batch, int turn) {
             auto changed = policy(0, 80);
             if (turn % 2 == 0) changed.ingress[0].peers.emplace_back(IpBlock{{address("10.0.0.0"), 8}, {}});
             put(batch, {"NetworkPolicy", ns_of(0), "policy-0"}, {}, changed);
           }},
          {"one of 10,000 address blocks", true, true,
           [](Batch& batch, int turn) { put_blocks(batch, kBlocks, "102.0." + std::to_string(turn) + ".0"); }}};
}

void changes(const Worlds& worlds) {
  std::printf(
      "\n| what changes | policies | in force after, ms | slowest | all done after, ms | elements written |\n"
      "|:--|:--|--:|--:|--:|--:|\n");
  for (const Happening& one : happenings()) {
    for (const auto& world : worlds) {
      if ((one.needs_policies && world->policies == 0) || (one.needs_blocks && world->blocks == 0)) continue;
      std::vector<double> in_force, all;
      std::size_t written = 0;
      for (int turn = 0; turn < kChanges; turn++) {
        Batch batch;
        one.happens(batch, turn);
        const auto ids = world->cluster.take(batch);
        const Took took = world->update(&ids);
        in_force.push_back(took.in_force);
        all.push_back(took.all);
        written = std::max(written, took.written);
      }
      const double slowest = *std::ranges::max_element(in_force);
      std::printf("| %s | %s | %s | %.1f | %s | %zu |\n", one.what, name_of(*world).c_str(),
                  spread(in_force, 1).c_str(), slowest, spread(all, 1).c_str(), written);
    }
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
    for (const auto& [policies, blocks] : bench::kSizes)
      worlds.push_back(std::make_unique<bench::World>(policies, blocks));
    bench_bpf* programs = bench_bpf::open_and_load();
    bench::need(programs != nullptr, "load bench.bpf.o");
    bench::print_sizes(worlds);
    bench::packets(worlds, *programs);
    bench::changes(worlds);
    bench_bpf::destroy(programs);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_policy: %s\n", error.what());
    return 1;
  }
  return 0;
}
