#include "tests/datapath/xdp.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "loader/config.hpp"
#include "maps/runtime.h"
#include "maps/types.h"

// The skeleton names the layouts as C does.
using sluice::maps::addr;
using sluice::maps::runtime;
#include "xdp.skel.h"

namespace sluice::test {
namespace {

void need(bool fine, const std::string& what) {
  if (!fine) throw std::runtime_error(what + ": " + std::strerror(errno));
}

/// Work space and constants are each object's own.
bool is_shared(const std::string& name) { return !name.ends_with("_scratch") && name.find(".rodata") == name.npos; }

void share_maps(const xdp_bpf& xdp, const bpf_object& node) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, xdp.obj) {
    const std::string name = bpf_map__name(map);
    const bpf_map* shared = is_shared(name) ? bpf_object__find_map_by_name(&node, name.c_str()) : nullptr;
    if (shared != nullptr) need(bpf_map__reuse_fd(map, bpf_map__fd(shared)) == 0, "share map " + name);
  }
}

}  // namespace

XdpUplink::XdpUplink(const Datapath& node, const std::string& uplink)
    : skeleton_(xdp_bpf::open()), ifindex_(node.ifindex(uplink)) {
  need(skeleton_ != nullptr, "open xdp.bpf.o");
  const Settings& settings = node.settings();
  auto& data = *skeleton_->rodata;
  for (unsigned i = 0; i < maps::TIMEOUT_MAX; i++)
    if (settings.timeouts[i]) data.cfg_timeout_ns[i] = std::chrono::nanoseconds(*settings.timeouts[i]).count();
  data.cfg_overlay = settings.overlay;
  data.cfg_vni = kVni;
  data.cfg_tunnel_port = settings.tunnel_port;
  data.cfg_node_v4 = SocketAddress(settings.icmp_source_v4).address.wire();
  data.cfg_node_v6 = SocketAddress(settings.icmp_source_v6).address.wire();
  std::memcpy(data.cfg_host_mac, settings.host_mac.bytes.data(), 6);
  std::memcpy(data.cfg_tunnel_mac, loader::kTunnelSourceMac.bytes.data(), 6);
  share_maps(*skeleton_, node.object());
  const int err = xdp_bpf::load(skeleton_);
  errno = -err;
  need(err == 0, "load xdp.bpf.o");
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
  link_ = bpf_link_create(bpf_program__fd(skeleton_->progs.xdp_uplink), static_cast<int>(ifindex_), BPF_XDP, &options);
  need(link_ >= 0, "attach xdp_uplink");
}

XdpUplink::~XdpUplink() {
  close(link_);
  xdp_bpf::destroy(skeleton_);
}

XdpOutcome XdpUplink::run(const Bytes& frame) const {
  XdpOutcome outcome{0, Bytes(frame.size() + 256)};
  xdp_md context{};
  context.data_end = static_cast<__u32>(frame.size());
  context.ingress_ifindex = ifindex_;
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = frame.data();
  options.data_size_in = static_cast<__u32>(frame.size());
  options.data_out = outcome.got.data();
  options.data_size_out = static_cast<__u32>(outcome.got.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof(context);
  need(bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.xdp_uplink), &options) == 0, "run a frame");
  outcome.action = options.retval;
  outcome.got.resize(options.data_size_out);
  return outcome;
}

XdpOutcome XdpUplink::run(const Packet& packet) const { return run(packet.frame(kRouterMac, loader::kHostMac)); }

int XdpUplink::program() const { return bpf_program__fd(skeleton_->progs.xdp_uplink); }

Path XdpUplink::path(const Bytes& frame) const {
  return interpret(*skeleton_->obj, "xdp_uplink", frame, ifindex_, {.to = kRouterMac, .from = loader::kHostMac});
}

}  // namespace sluice::test
