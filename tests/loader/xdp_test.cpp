// The program on the uplinks' XDP hooks.
#include "loader/program/xdp.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <doctest/doctest.h>
#include <linux/if_link.h>

#include <array>
#include <cerrno>

#include "loader/program/lifecycle.hpp"
#include "loader/program/pin.hpp"
#include "loader/program/status.hpp"
#include "tests/loader/hanging.hpp"
#include "tests/loader/node.hpp"

using namespace sluice;          // NOLINT(google-build-using-namespace)
using namespace sluice::loader;  // NOLINT(google-build-using-namespace)
using namespace sluice::test;    // NOLINT(google-build-using-namespace)
using Outcome = program::LoadReport::Outcome;

namespace {

NodeConfig with_xdp(Xdp xdp, const std::vector<std::string>& uplinks, int seconds = 60) {
  auto config = config_with_udp_timeout(seconds);
  config.uplinks = uplinks;
  config.xdp = xdp;
  return config;
}

struct OnInterface {
  std::uint32_t program_id = 0;
  int mode = XDP_ATTACHED_NONE;
};

/// What the kernel says of the interface, whoever it belongs to.
OnInterface on(const net::Link& link) {
  LIBBPF_OPTS(bpf_xdp_query_opts, options);
  if (bpf_xdp_query(link.ifindex, 0, &options) != 0) throw std::runtime_error("ask for XDP");
  return {options.prog_id, options.attach_mode};
}

std::uint32_t pinned_xdp(const Node& node) {
  for (const auto& program : must(program::program_status(node.root())))
    if (program.name == program::kXdpUplink) return program.id;
  return 0;
}

/// Somebody else's program there, as long as this lives.
class Foreign {
 public:
  explicit Foreign(int ifindex) {
    const std::array<bpf_insn, 2> code = {
        bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = XDP_PASS},
        bpf_insn{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
    program_ = Fd(bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign", "GPL", code.data(), code.size(), nullptr));
    link_ = Fd(bpf_link_create(program_.get(), ifindex, BPF_XDP, nullptr));
    if (link_.get() < 0) throw std::runtime_error("attach a foreign program");
  }

 private:
  Fd program_{-1}, link_{-1};
};

}  // namespace

TEST_CASE("xdp_uplink hangs as configured, is replaced in place by upgrades, and goes with the last uplink") {
  const struct {
    Xdp xdp;
    int mode;
  } rows[] = {{Xdp::kNative, XDP_ATTACHED_DRV}, {Xdp::kGeneric, XDP_ATTACHED_SKB}, {Xdp::kAuto, XDP_ATTACHED_SKB}};
  for (const auto& row : rows) {
    Node node;
    const auto one = node.add_interface("sluxdp0"), two = node.add_interface("sluxdp1");
    CHECK(must(program::load(node.root(), with_xdp(row.xdp, {one.name, two.name}))).hooks == 4);
    const auto first = on(one);
    CHECK(first.mode == row.mode);
    CHECK(first.program_id == pinned_xdp(node));
    CHECK(on(two).program_id == first.program_id);
    auto upgraded = with_xdp(row.xdp, {one.name, two.name}, 61);
    CHECK(must(program::load(node.root(), upgraded)).outcome == Outcome::kUpgraded);
    CHECK(on(one).program_id != first.program_id);
    CHECK(on(one).program_id == pinned_xdp(node));
    CHECK(on(one).mode == row.mode);
    CHECK(hanging(node).hooks == 4);

    must(program::load(node.root(), with_xdp(row.xdp, {two.name}, 61)));  // the same programs, on fewer interfaces
    CHECK(on(one).mode == XDP_ATTACHED_NONE);
    CHECK(on(two).mode == row.mode);
    CHECK(must(program::remove(node.root())) == 2);
    CHECK(on(two).mode == XDP_ATTACHED_NONE);
  }
}

TEST_CASE("xdp is switched on, off and to another mode by a load") {
  Node node;
  const auto uplink = node.add_interface("sluxdm0");
  const struct {
    Xdp xdp;
    int mode;
  } steps[] = {{Xdp::kOff, XDP_ATTACHED_NONE}, {Xdp::kNative, XDP_ATTACHED_DRV}, {Xdp::kGeneric, XDP_ATTACHED_SKB},
               {Xdp::kAuto, XDP_ATTACHED_SKB}, {Xdp::kNative, XDP_ATTACHED_DRV}, {Xdp::kAuto, XDP_ATTACHED_SKB},
               {Xdp::kOff, XDP_ATTACHED_NONE}};
  for (const auto& step : steps) {
    CAPTURE(static_cast<int>(step.xdp));
    CHECK(must(program::load(node.root(), with_xdp(step.xdp, {uplink.name}))).warnings.empty());
    CHECK(on(uplink).mode == step.mode);
    CHECK(on(uplink).program_id == pinned_xdp(node));
  }
}

TEST_CASE("another's XDP program stays, the load says so and goes on, and repair attaches ours once it is gone") {
  Node node;
  const auto uplink = node.add_interface("sluxdf0");
  const auto config = with_xdp(Xdp::kNative, {uplink.name});
  {
    const Foreign foreign(uplink.ifindex);
    const auto there = on(uplink).program_id;
    const auto report = must(program::load(node.root(), config));
    CHECK(report.hooks == 1);
    REQUIRE(report.warnings.size() == 1);
    CHECK(report.warnings[0].find("another program has its XDP hook") != std::string::npos);
    CHECK(on(uplink).program_id == there);
    CHECK(must(program::repair_xdp(node.root(), config)).empty());
  }
  CHECK(must(program::repair_xdp(node.root(), config)).size() == 1);
  CHECK(on(uplink).program_id == pinned_xdp(node));
}

TEST_CASE(
    "repair attaches xdp_uplink where somebody has detached it or the interface is new, and lets go of the rest") {
  Node node;
  const auto uplink = node.add_interface("sluxdr0");
  const auto config = with_xdp(Xdp::kGeneric, {uplink.name, "sluxdr1"});
  must(program::load(node.root(), config));
  const auto repair = [&] { return must(program::repair_xdp(node.root(), config)).size(); };
  CHECK(repair() == 0);
  const Fd link = must(program::open_pin(node.root().pins() / "xdp" / uplink.name));
  REQUIRE(bpf_link_detach(link.get()) == 0);
  CHECK(on(uplink).mode == XDP_ATTACHED_NONE);
  CHECK(repair() == 1);
  CHECK(on(uplink).mode == XDP_ATTACHED_SKB);
  const auto other = node.add_interface("sluxdr1");
  CHECK(repair() == 1);
  CHECK(on(other).mode == XDP_ATTACHED_SKB);
  must(must(net::Netlink::open()).delete_link(uplink.name));
  CHECK(repair() == 0);
  const auto again = node.add_interface("sluxdr0");
  CHECK(repair() == 1);
  CHECK(on(again).mode == XDP_ATTACHED_SKB);
  CHECK(must(program::remove(node.root())) == 2);
  CHECK(on(again).mode == XDP_ATTACHED_NONE);
}

TEST_CASE("an uplink whose MTU no frame of the driver holds gets xdp_uplink all the same, or the load says why not") {
  Node node;
  const auto uplink = node.add_interface("sluxdj0");
  must(must(net::Netlink::open()).set_mtu(uplink.ifindex, 65535));
  const auto report = must(program::load(node.root(), with_xdp(Xdp::kNative, {uplink.name})));
  CHECK(report.warnings.size() == (on(uplink).mode == XDP_ATTACHED_DRV ? 0 : 1));
  CHECK(must(program::load(node.root(), with_xdp(Xdp::kGeneric, {uplink.name}))).warnings.empty());
  CHECK(on(uplink).mode == XDP_ATTACHED_SKB);
}
