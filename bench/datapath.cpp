/// What a packet costs in the programs, by BPF_PROG_TEST_RUN, beside the one map operation that it cannot do without:
/// an established packet beside one lookup of its key in the same table, a new flow beside one insert into it.
///
/// Prints a Markdown table. All take turns, and each figure is a median over the rounds: read the ratios.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "maps/flow.h"
#include "tests/datapath/datapath.hpp"

// The skeleton names the layouts as C does.
using sluice::maps::flow_entry;
using sluice::maps::flow_key;
#include "bench.skel.h"

namespace sluice::bench {
namespace {

using namespace sluice::test;

constexpr int kRounds = 41;
constexpr int kCalls = 100;         // of BPF_PROG_TEST_RUN in a round
constexpr int kHops = 250;          // runs in a call: the packet that is delivered has one hop less after each
constexpr int kFlowsInCall = 1000;  // the same for new flows, whose packet is made anew for each run
constexpr int kCallsFull = 10;      // of new flows in a round; while there is to be room in the table, one
constexpr std::uint32_t kTable = 262144;

void need(bool fine, const char* what) {
  if (!fine) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

/// Mean nanoseconds of one run.
double run(int program, const Bytes& frame, std::uint32_t ifindex, int repeat, int calls) {
  double sum = 0;
  for (int i = 0; i < calls; i++) {
    __sk_buff context{};
    context.ifindex = context.ingress_ifindex = ifindex;
    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.data_in = frame.data();
    options.data_size_in = static_cast<__u32>(frame.size());
    options.ctx_in = &context;
    options.ctx_size_in = sizeof(context);
    options.repeat = repeat;
    need(bpf_prog_test_run_opts(program, &options) == 0, "run a program");
    sum += options.duration;
  }
  return sum / calls;
}

struct Contender {
  std::string name;
  std::function<double()> measure;
  std::size_t beside;  ///< which it is compared with
  std::vector<double> samples = {};

  [[nodiscard]] double median() const {
    auto sorted = samples;
    std::ranges::nth_element(sorted, sorted.begin() + static_cast<long>(sorted.size() / 2));
    return sorted[sorted.size() / 2];
  }
};

/// `nothing` is the index of what is taken off as the price of being run at all.
void measure_and_print(const char* title, std::vector<Contender>& contenders, std::size_t nothing) {
  for (int round = 0; round < kRounds; round++)
    for (Contender& contender : contenders) contender.samples.push_back(contender.measure());
  const double base = contenders[nothing].median();
  std::printf("\n| %s | ns | ns over nothing | ratio | ratio over nothing |\n|---|--:|--:|--:|--:|\n", title);
  for (const Contender& contender : contenders) {
    const double ns = contender.median(), beside = contenders[contender.beside].median();
    std::printf("| %s | %.1f | %.1f | %.2f | %.2f |\n", contender.name.c_str(), ns, ns - base, ns / beside,
                (ns - base) / std::max(beside - base, 0.1));
  }
}

// The key as the program has written it: the table has only this flow.
void copy_key(int flows, maps::flow_key& key) {
  need(bpf_map_get_next_key(flows, nullptr, &key) == 0, "find the flow");
}

void established(Datapath& node, bench_bpf& bench) {
  const Packet first = udp("10.0.0.5:999", "10.0.0.6:53").ttl(255);
  if (node.from_pod("web", first).verdict != delivered_to("db"))
    throw std::runtime_error("the packet is not delivered");
  copy_key(node.flows_map(), bench.bss->bench_key);
  const struct {
    const char* name;
    Packet packet;
  } packets[] = {{"established, UDP over IPv4", first},
                 {"established, UDP over IPv6", udp("[fd00::5]:999", "[fd00::6]:53").ttl(255)},
                 {"established, TCP over IPv4", tcp("10.0.0.5:999", "10.0.0.6:80").ttl(255)},
                 {"established, TCP over IPv6", tcp("[fd00::5]:999", "[fd00::6]:80").ttl(255)},
                 {"established, to the stack", udp("10.0.0.5:999", "198.51.100.9:53").ttl(255)}};
  const auto ifindex = node.ifindex("web");
  const auto frame = [&](const Packet& packet) { return packet.frame(node.mac("web"), loader::kHostMac); };
  const auto measured = [=](int program, const Bytes& bytes) {
    return [=] { return run(program, bytes, ifindex, kHops, kCalls); };
  };
  std::vector<Contender> contenders;
  contenders.push_back({"nothing", measured(bpf_program__fd(bench.progs.nothing), frame(first)), 1});
  contenders.push_back({"one lookup", measured(bpf_program__fd(bench.progs.lookup), frame(first)), 1});
  for (const auto& row : packets) {
    node.from_pod("web", row.packet);
    contenders.push_back({row.name, measured(node.program("from_pod"), frame(row.packet)), 1});
  }
  measure_and_print("established packet", contenders, 0);
}

void new_flow(Datapath& node, bench_bpf& bench) {
  const int next = bpf_program__fd(bench.progs.next_flow), slots = bpf_map__fd(bench.maps.under_test);
  const auto ifindex = node.ifindex("web");
  const auto frame = [&](const Packet& packet) { return packet.frame(node.mac("web"), loader::kHostMac); };
  const Bytes inside = frame(udp("10.0.0.5:1", "10.0.0.6:1")), outside = frame(udp("10.0.0.5:1", "198.51.100.9:1"));
  const auto measured = [=](int program, const Bytes& bytes, int calls) {
    return [=] {
      const std::uint32_t slot = 0;
      need(bpf_map_update_elem(slots, &slot, &program, BPF_ANY) == 0, "choose the program under test");
      return run(next, bytes, ifindex, kFlowsInCall, calls);
    };
  };
  const int nothing = bpf_program__fd(bench.progs.nothing), insert = bpf_program__fd(bench.progs.insert);
  const auto contenders = [&](int calls) {
    return std::vector<Contender>{{"nothing", measured(nothing, inside, calls), 1},
                                  {"one insert", measured(insert, inside, calls), 1},
                                  {"first packet to a pod", measured(node.program("from_pod"), inside, calls), 1},
                                  {"first packet to the stack", measured(node.program("from_pod"), outside, calls), 1}};
  };
  auto with_room = contenders(1);
  measure_and_print("new flow, table with room", with_room, 0);
  const auto fill = measured(insert, inside, kCallsFull);
  for (std::uint32_t done = 0; done < 2 * kTable; done += kFlowsInCall * kCallsFull) fill();
  auto full = contenders(kCallsFull);
  measure_and_print("new flow, full table", full, 0);
}

}  // namespace
}  // namespace sluice::bench

int main() {
  using namespace sluice;
  try {
    test::Datapath::enter_namespace();
    // With one MAC address for all, a packet is ready for the next run as it was left by the last.
    test::Datapath node({.flows = bench::kTable});
    node.pod("web", "10.0.0.5", "fd00::5", {.mac = loader::kHostMac})
        .pod("db", "10.0.0.6", "fd00::6", {.mac = loader::kHostMac});
    bench_bpf* programs = bench_bpf::open();
    bench::need(programs != nullptr, "open bench.bpf.o");
    bench::need(bpf_map__reuse_fd(programs->maps.flows, node.flows_map()) == 0 && bench_bpf::load(programs) == 0,
                "load bench.bpf.o");
    bench::established(node, *programs);
    bench::new_flow(node, *programs);
    bench_bpf::destroy(programs);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_datapath: %s\n", error.what());
    return 1;
  }
  return 0;
}
