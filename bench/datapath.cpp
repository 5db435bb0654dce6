/// What a packet costs in the programs, by BPF_PROG_TEST_RUN, beside the one map operation that it cannot do without:
/// an established packet beside one lookup of its key in the same table, a new flow beside one insert into it.
///
/// Prints Markdown tables. All take turns, and each figure is a median over the rounds, in brackets the quartiles: read
/// the ratios. The last table counts what a packet does, by interpreting the program that was loaded.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cstdio>
#include <stdexcept>
#include <vector>

#include "bench/measure.hpp"
#include "bench/outside.hpp"
#include "maps/flow.h"
#include "tests/datapath/datapath.hpp"

// The skeleton names the layouts as C does.
using sluice::maps::flow_entry;
using sluice::maps::flow_key;
#include "bench.skel.h"

namespace sluice::bench {
namespace {

using namespace sluice::test;

constexpr int kCalls = 100;         // of BPF_PROG_TEST_RUN in a round
constexpr int kHops = 250;          // runs in a call: the packet that is delivered has one hop less after each
constexpr int kFlowsInCall = 1000;  // the same for new flows, whose packet is made anew for each run
constexpr int kCallsFull = 10;      // of new flows in a round; while there is to be room in the table, one
constexpr std::uint32_t kTable = 262144;

// The key as the program has written it: the table has only this flow.
void copy_key(int flows, maps::flow_key& key) {
  need(bpf_map_get_next_key(flows, nullptr, &key) == 0, "find the flow");
}

struct Row {
  const char* name;
  Packet packet;
};

std::vector<Row> known_packets() {
  return {{"established, UDP over IPv4", udp("10.0.0.5:999", "10.0.0.6:53").ttl(255)},
          {"established, UDP over IPv6", udp("[fd00::5]:999", "[fd00::6]:53").ttl(255)},
          {"established, TCP over IPv4", tcp("10.0.0.5:999", "10.0.0.6:80").ttl(255)},
          {"established, TCP over IPv6", tcp("[fd00::5]:999", "[fd00::6]:80").ttl(255)},
          {"established, to the stack", udp("10.0.0.5:999", "198.51.100.9:53").ttl(255)}};
}

void established(Datapath& node, bench_bpf& bench) {
  const auto packets = known_packets();
  const auto ifindex = node.ifindex("web");
  const auto frame = [&](const Packet& packet) { return packet.frame(node.mac("web"), loader::kHostMac); };
  const auto measured = [=](int program, const Bytes& bytes) {
    return [=] { return run(program, bytes, ifindex, kHops, kCalls); };
  };
  if (node.from_pod("web", packets[0].packet).verdict != delivered_to("db"))
    throw std::runtime_error("the packet is not delivered");
  copy_key(node.flows_map(), bench.bss->bench_key);
  std::vector<Contender> contenders;
  contenders.push_back({"nothing", measured(bpf_program__fd(bench.progs.nothing), frame(packets[0].packet))});
  contenders.push_back({"one lookup", measured(bpf_program__fd(bench.progs.lookup), frame(packets[0].packet))});
  for (const Row& row : packets) {
    node.from_pod("web", row.packet);
    contenders.push_back({row.name, measured(node.program("from_pod"), frame(row.packet))});
  }
  measure_and_print("established packet", std::move(contenders));
}

void paths(Datapath& node) {
  const Row fresh[] = {{"first packet to a pod, UDP over IPv4", udp("10.0.0.5:1", "10.0.0.6:1")},
                       {"first packet to a pod, TCP over IPv6", tcp("[fd00::5]:1", "[fd00::6]:1", "S")},
                       {"first packet to the stack", udp("10.0.0.5:1", "198.51.100.9:1")}};
  print_paths_head();
  for (const Row& row : known_packets()) {
    node.from_pod("web", row.packet);
    print_path(row.name, node.path_from_pod("web", row.packet));
  }
  for (const Row& row : fresh) print_path(row.name, node.path_from_pod("web", row.packet));
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
    return std::vector<Contender>{{"nothing", measured(nothing, inside, calls)},
                                  {"one insert", measured(insert, inside, calls)},
                                  {"first packet to a pod", measured(node.program("from_pod"), inside, calls)},
                                  {"first packet to the stack", measured(node.program("from_pod"), outside, calls)}};
  };
  measure_and_print("new flow, table with room", contenders(1));
  const auto fill = measured(insert, inside, kCallsFull);
  for (std::uint32_t done = 0; done < 2 * kTable; done += kFlowsInCall * kCallsFull) fill();
  measure_and_print("new flow, full table", contenders(kCallsFull));
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
    bench::paths(node);
    bench::new_flow(node, *programs);
    bench_bpf::destroy(programs);
    bench::outside_clients();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_datapath: %s\n", error.what());
    return 1;
  }
  return 0;
}
