#include "tests/policy/programs.hpp"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "loader/config.hpp"
#include "loader/program/lifecycle.hpp"
#include "loader/program/pin.hpp"
#include "maps/endpoint.h"

namespace sluice::test {

namespace {

/// So that loading and clearing take no time; room enough for what the tests do.
loader::NodeConfig config() {
  loader::NodeConfig config;
  config.maps = {.flows = 65536,
                 .endpoints = 64,
                 .fragments = 64,
                 .ipcache = 4096,
                 .nodes = 64,
                 .policies = 4096,
                 .policy_ports = 65536,
                 .peers = 65536,
                 .services = 64,
                 .backend_slots = 64,
                 .backends = 64,
                 .source_ranges = 64,
                 .affinity = 64};
  return config;
}

const loader::Root& loaded(const Node& node) {
  must(loader::program::load(node.root(), config()));
  return node.root();
}

Fd pinned(const loader::Root& root, const char* program) {
  return must(loader::program::open_pin(loader::program::program_pin(root, program)));
}

}  // namespace

Programs::Programs()
    : from_pod_(pinned(loaded(node_), loader::program::kFromPod)),
      to_pod_(pinned(node_.root(), loader::program::kToPod)),
      endpoints_(must(maps::open<maps::Endpoints>(node_.root().maps()))),
      metrics_(must(maps::open<maps::Metrics>(node_.root().maps()))) {}

std::uint32_t Programs::interface_for(const std::string& pod) {
  const auto known = interfaces_.find(pod);
  if (known != interfaces_.end()) return known->second;
  const auto link = node_.add_interface("policy" + std::to_string(interfaces_.size()));
  return interfaces_[pod] = static_cast<std::uint32_t>(link.ifindex);
}

void Programs::update(const loader::state::Cluster& cluster, const std::string& node,
                      const std::vector<loader::state::policy::LocalPod>& local) {
  if (!policies_) policies_ = must(loader::state::policy::Policies::open(node_.root()));
  std::map<Address, Pod> pods;
  for (const auto& pod : local) {
    const std::uint32_t ifindex = interface_for(pod.ns + "/" + pod.name);
    for (const Address& address : pod.addresses)
      pods[address] = {pod.ns + "/" + pod.name, ifindex, Mac{{2, 0, 0, 0, 0, static_cast<std::uint8_t>(ifindex)}}};
  }
  for (const auto& [address, pod] : pods_)
    if (!pods.contains(address)) (void)must(endpoints_.erase(address.wire()));
  for (const auto& [address, pod] : pods) {
    if (pods_.contains(address)) continue;
    maps::endpoint endpoint{};
    endpoint.ifindex = pod.ifindex;
    endpoint.mtu = 1500;
    std::memcpy(endpoint.pod_mac, pod.mac.bytes.data(), pod.mac.bytes.size());
    for (auto& policy : endpoint.policy) policy = {{maps::IDENTITY_INIT, 0}, POLICY_INIT, POLICY_INIT};
    must(endpoints_.put(address.wire(), endpoint));
  }
  pods_ = std::move(pods);
  must(policies_->update(cluster, node, local, true, {}));
}

bool Programs::passes(const Packet& packet) const {
  const auto from = pods_.find(packet.tuple().from.address), to = pods_.find(packet.tuple().to.address);
  const bool sent = from != pods_.end();
  if (!sent && to == pods_.end()) throw std::runtime_error("a packet between strangers");
  const Pod& pod = sent ? from->second : to->second;
  const Bytes frame = sent ? packet.frame(pod.mac, loader::kHostMac) : packet.frame(loader::kHostMac, pod.mac);
  Bytes out(frame.size() + 256);
  __sk_buff context{};
  context.ifindex = pod.ifindex;
  context.ingress_ifindex = sent ? pod.ifindex : 0;
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = frame.data();
  options.data_size_in = static_cast<__u32>(frame.size());
  options.data_out = out.data();
  options.data_size_out = static_cast<__u32>(out.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof(context);
  if (bpf_prog_test_run_opts((sent ? from_pod_ : to_pod_).get(), &options) != 0)
    throw std::runtime_error(std::string("run a packet: ") + std::strerror(errno));
  return options.retval != TC_ACT_SHOT;
}

std::uint64_t Programs::packets(maps::drop_reason reason) const {
  std::uint64_t sum = 0;
  for (std::uint32_t hook = 0; hook < maps::HOOK_MAX; ++hook)
    for (const auto& cpu : must(metrics_.lookup(maps::metric_index(reason, hook)))) sum += cpu.packets;
  return sum;
}

}  // namespace sluice::test
