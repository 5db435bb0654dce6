#include "bench/outside.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <netinet/in.h>

#include <cstring>
#include <stdexcept>

#include "bench/measure.hpp"
#include "maps/flow.h"
#include "maps/ipcache.h"
#include "maps/service.h"
#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"
#include "tests/datapath/xdp.hpp"

// The skeleton names the layouts as C does.
using sluice::maps::flow_entry;
using sluice::maps::flow_key;
#include "bench.skel.h"

namespace sluice::bench {
namespace {

using namespace sluice::test;

constexpr int kRuns = 25000;  // in a call of BPF_PROG_TEST_RUN; one for XDP waits for all CPUs before and after
constexpr std::uint32_t kNode = 9;

/// A node port whose endpoint is on another node, and a connection to it that is decided.
struct Outside {
  Outside(const Family& family, bool overlay) : node({.flows = 262144, .overlay = overlay}) {
    node.pod("web", "10.0.0.5", "fd00::5").pod("up", "10.0.0.99", "fd00::99").forget_pod("up").uplink("up");
    if (overlay) {
      node.pod("device", "10.0.0.100", "fd00::100").tunnel_device("device").node(kNode, "192.0.2.9");
      for (const char* block : {"10.9.0.0/16", "fd09::/16"})
        node.known_address(block, maps::IDENTITY_UNKNOWN, 0, kNode);
    }
    const std::string service = family.at(family.host, 30080);
    node.service(service, IPPROTO_TCP, {family.at(family.v4 ? "10.9.0.7" : "fd09::7", 8080)},
                 {.flags = SERVICE_OUTSIDE});
    const Packet asks = tcp(family.at(family.world, 20000), service, "A").payload(200);
    if (node.from_uplink("up", asks.flags("S")).verdict.kind != (overlay ? Verdict::kTunnelled : Verdict::kSentOut))
      throw std::runtime_error("the client is not sent on");
    node.from_uplink("up", asks);
    frame = asks.frame(kRouterMac, loader::kHostMac);
  }

  Datapath node;
  Bytes frame;
};

/// The programs of bench.bpf.c beside those of a node. The frame is before each run as it was before the first.
class Beside {
 public:
  explicit Beside(const Outside& outside) : outside_(outside), programs_(bench_bpf::open()) {
    need(programs_ != nullptr, "open bench.bpf.o");
    need(bpf_map__reuse_fd(programs_->maps.flows, outside.node.flows_map()) == 0 && bench_bpf::load(programs_) == 0,
         "load bench.bpf.o");
    auto& data = *programs_->bss;
    std::memcpy(data.bench_head, outside.frame.data(), sizeof(data.bench_head));
    data.bench_length = static_cast<__u32>(outside.frame.size());
    need(bpf_map_get_next_key(outside.node.flows_map(), nullptr, &data.bench_key) == 0, "find the flow");
  }
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;
  ~Beside() { bench_bpf::destroy(programs_); }

  [[nodiscard]] Contender tc(const char* name, const bpf_program* program) const {
    return tc(name, bpf_program__fd(program));
  }
  [[nodiscard]] Contender tc(const char* name, int program) const {
    return {name,
            [this, program] {
              choose(programs_->maps.under_test, program);
              return run(bpf_program__fd(progs().restore), outside_.frame, outside_.node.ifindex("up"), kRuns, 1);
            },
            {}};
  }
  [[nodiscard]] Contender xdp(const char* name, const bpf_program* program) const {
    return xdp(name, bpf_program__fd(program));
  }
  [[nodiscard]] Contender xdp(const char* name, int program) const {
    return {name,
            [this, program] {
              choose(programs_->maps.xdp_under_test, program);
              return run_xdp(bpf_program__fd(progs().xdp_restore), outside_.frame, outside_.node.ifindex("up"), kRuns,
                             1);
            },
            {}};
  }
  [[nodiscard]] const decltype(bench_bpf::progs)& progs() const { return programs_->progs; }

 private:
  static void choose(const bpf_map* slots, int program) {
    const std::uint32_t slot = 0;
    need(bpf_map_update_elem(bpf_map__fd(slots), &slot, &program, BPF_ANY) == 0, "choose the program under test");
  }

  const Outside& outside_;
  bench_bpf* programs_;
};

void measure(const Family& family, bool overlay) {
  const std::string title = std::string(family.name) + (overlay ? ", by a tunnel over IPv4" : ", without tunnel");
  const Outside outside(family, overlay);
  const XdpUplink xdp(outside.node, "up");
  const Beside beside(outside);
  measure_and_print(("client sent on by from_uplink, " + title).c_str(),
                    {beside.tc("nothing", beside.progs().nothing), beside.tc("one lookup", beside.progs().lookup),
                     beside.tc("from_uplink", outside.node.program("from_uplink"))});
  measure_and_print(("client sent on by xdp_uplink, " + title).c_str(),
                    {beside.xdp("nothing", beside.progs().xdp_nothing),
                     beside.xdp("one lookup", beside.progs().xdp_lookup), beside.xdp("xdp_uplink", xdp.program())});
  print_paths_head();
  print_path("xdp_uplink, " + title, xdp.path(outside.frame));
}

}  // namespace

void outside_clients() {
  for (const Family& family : kFamilies)
    for (const bool overlay : {true, false}) measure(family, overlay);
}

}  // namespace sluice::bench
