#include "tests/datapath/datapath.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <stdexcept>

#include "loader/net/netlink.hpp"
#include "loader/net/netns.hpp"
#include "maps/endpoint.h"
#include "maps/names.hpp"
#include "maps/runtime.h"
#include "maps/views.hpp"

// The skeleton names the layouts as C does.
using sluice::maps::addr;
using sluice::maps::runtime;
#include "pod.skel.h"

namespace sluice::test {
namespace {

constexpr unsigned kInterfaces = 6;
constexpr const char* kSomebody = "somebody";  // a packet that the test knows no flow of

void need(bool fine, const std::string& what) {
  if (!fine) throw std::runtime_error(what + ": " + std::strerror(errno));
}

template <typename T>
T sure(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return *std::move(result);
}

void sure(const Result<void>& result) {
  if (!result) throw std::runtime_error(result.error().message);
}

Address parse(const std::string& text) { return sure(Address::parse(text)); }
std::string interface_name(unsigned number) { return "sludp" + std::to_string(number); }

std::uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

const char* reason_name(maps::drop_reason reason) {
  switch (reason) {
#define X(number, name, text) \
  case maps::DROP_##name:     \
    return #name;
    SLUICE_DROP_REASONS(X)
#undef X
    default:
      return "none";
  }
}

// All reasons and hooks that exist, as indices of the metrics map.
const std::vector<std::uint32_t>& metric_indices() {
  static const auto indices = [] {
    std::vector<std::uint32_t> all;
    for (const unsigned hook :
         {unsigned{maps::HOOK_FROM_POD}, unsigned{maps::HOOK_TO_POD}, unsigned{maps::HOOK_FROM_OVERLAY},
          unsigned{maps::HOOK_TO_OVERLAY}, unsigned{maps::HOOK_FROM_UPLINK}}) {
      all.push_back(maps::metric_index(maps::DROP_NONE, hook));
#define X(number, name, text) all.push_back(maps::metric_index(number, hook));
      SLUICE_DROP_REASONS(X)
#undef X
    }
    return all;
  }();
  return indices;
}

// An independent reckoning of the key: see struct flow_key.
maps::flow_key flow_key_of(const Tuple& tuple, unsigned& dir) {
  const maps::addr ends[2] = {tuple.from.address.wire(), tuple.to.address.wire()};
  const auto ports = std::array{maps::be16::from_host(tuple.from.port), maps::be16::from_host(tuple.to.port)};
  std::uint64_t words[2][2];
  std::memcpy(words, ends, sizeof(words));
  const auto order = [&](int end) { return std::tuple(words[end][0], words[end][1], ports[end].wire); };
  dir = order(0) > order(1) ? 1 : 0;
  maps::flow_key key{};
  key.addr[dir] = ends[0];
  key.addr[1 - dir] = ends[1];
  key.port[dir] = ports[0];
  key.port[1 - dir] = ports[1];
  key.proto = tuple.proto;
  return key;
}

// What forwarding changes: one hop less, other MAC addresses.
Bytes forwarded(Bytes frame, const Mac& to, const Mac& from) {
  std::copy(to.bytes.begin(), to.bytes.end(), frame.begin());
  std::copy(from.bytes.begin(), from.bytes.end(), frame.begin() + 6);
  const bool v4 = frame.at(12) == 0x08;
  frame.at(v4 ? 22 : 21)--;
  if (v4) {
    frame.at(24) = frame.at(25) = 0;
    const Bytes header(frame.begin() + 14, frame.begin() + 14 + std::ptrdiff_t{frame[14] & 15} * 4);
    const std::uint16_t sum = internet_checksum(header);
    frame[24] = static_cast<std::uint8_t>(sum >> 8);
    frame[25] = static_cast<std::uint8_t>(sum);
  }
  return frame;
}

Mac mac_at(const Bytes& frame, std::size_t offset) {
  Mac mac;
  std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(offset), mac.bytes.size(), mac.bytes.begin());
  return mac;
}

Bytes without_tags(Bytes frame) {
  while (frame.size() > 16 && (frame[12] << 8 | frame[13]) == 0x8100)
    frame.erase(frame.begin() + 12, frame.begin() + 16);
  return frame;
}

struct Loaded {
  Settings settings;
  pod_bpf* skeleton;
};

// Loaded and in use by no Datapath. They end with the process, and are not taken apart before: so does the list.
std::vector<Loaded>& idle() {
  static auto* const all = new std::vector<Loaded>;
  return *all;
}

pod_bpf* load(const Settings& settings) {
  static std::string words;
  words.clear();
  libbpf_set_print([](enum libbpf_print_level level, const char* format, va_list values) {
    char line[512];
    const int size = vsnprintf(line, sizeof(line), format, values);
    if (level == LIBBPF_WARN) words += line;
    return size;
  });
  pod_bpf* skeleton = pod_bpf::open();
  need(skeleton != nullptr, "open pod.bpf.o");
  auto& data = *skeleton->rodata;
  for (unsigned i = 0; i < maps::TIMEOUT_MAX; i++)
    if (settings.timeouts[i]) data.cfg_timeout_ns[i] = std::chrono::nanoseconds(*settings.timeouts[i]).count();
  data.cfg_icmp_source_v4 = parse(settings.icmp_source_v4).wire();
  data.cfg_icmp_source_v6 = parse(settings.icmp_source_v6).wire();
  data.cfg_gateway_v4 = parse(settings.gateway_v4).wire();
  data.cfg_gateway_v6 = parse(settings.gateway_v6).wire();
  data.cfg_icmp_errors_per_second = settings.icmp_errors_per_second;
  std::memcpy(data.cfg_host_mac, settings.host_mac.bytes.data(), 6);
  data.cfg_overlay = settings.overlay;
  data.cfg_vni = kVni;
  data.cfg_native = settings.native;
  data.cfg_tunnel_port = settings.tunnel_port;
  data.cfg_masquerade = settings.masquerade;
  data.cfg_direct = settings.direct;
  for (const std::string& text : settings.unmasqueraded) {
    const Prefix block = sure(Prefix::parse(text));
    const unsigned host_bits = (block.address.is_v4() ? 32 : 128) - block.length;
    const std::uint32_t number = data.cfg_unmasqueraded_count++;
    data.cfg_unmasqueraded[number] = block.first().wire();
    data.cfg_unmasqueraded_mask[number] =
        Address::from_number(host_bits == 128 ? 0 : ~static_cast<unsigned __int128>(0) << host_bits).wire();
  }
  std::memcpy(data.cfg_tunnel_mac, loader::kTunnelSourceMac.bytes.data(), 6);
  bpf_map__set_max_entries(skeleton->maps.flows, settings.flows);
  bpf_map__set_max_entries(skeleton->maps.nodes, 64);
  bpf_map__set_max_entries(skeleton->maps.endpoints, settings.endpoints);
  bpf_map__set_max_entries(skeleton->maps.fragments, settings.fragments);
  bpf_map__set_max_entries(skeleton->maps.affinity, settings.affinity);
  for (bpf_map* map : {skeleton->maps.flows, skeleton->maps.fragments, skeleton->maps.affinity})
    if (settings.full_refuses) bpf_map__set_type(map, BPF_MAP_TYPE_HASH);
  for (bpf_map* map : {skeleton->maps.backends, skeleton->maps.backend_slots, skeleton->maps.policies})
    bpf_map__set_max_entries(map, 4096);
  if (const int err = pod_bpf::load(skeleton); err != 0) {
    pod_bpf::destroy(skeleton);
    errno = -err;
    need(false, words + "load pod.bpf.o");
  }
  return skeleton;
}

void clear(pod_bpf& skeleton) {
  const auto& maps = skeleton.maps;
  for (const bpf_map* map :
       {maps.flows, maps.endpoints, maps.fragments, maps.services, maps.affinity, maps.source_ranges, maps.ipcache,
        maps.policy_ports, maps.peers, maps.uplinks, maps.denied}) {
    Bytes key(bpf_map__key_size(map));
    while (bpf_map_get_next_key(bpf_map__fd(map), nullptr, key.data()) == 0)
      bpf_map_delete_elem(bpf_map__fd(map), key.data());
  }
  for (const bpf_map* map : {skeleton.maps.metrics, skeleton.maps.counters, skeleton.maps.icmp_scratch}) {
    const Bytes zero(((bpf_map__value_size(map) + 7) & ~7U) * static_cast<std::size_t>(libbpf_num_possible_cpus()));
    for (std::uint32_t i = 0; i < bpf_map__max_entries(map); i++)
      need(bpf_map_update_elem(bpf_map__fd(map), &i, zero.data(), BPF_ANY) == 0, "clear a map");
  }
  const maps::node nobody{};
  for (std::uint32_t i = 0; i < bpf_map__max_entries(maps.nodes); i++)
    need(bpf_map_update_elem(bpf_map__fd(maps.nodes), &i, &nobody, BPF_ANY) == 0, "clear the nodes");
  for (std::uint32_t slot = 0; slot < OBSERVER_SLOTS; slot++)
    bpf_map_delete_elem(bpf_map__fd(skeleton.maps.observers), &slot);
  skeleton.data_runtime->runtime = {.epoch = 1};
}

}  // namespace

struct Datapath::Pod {
  std::string name;
  Address v4, v6;
  Mac mac;
  std::uint32_t ifindex;
  PodOptions options;
};

struct Datapath::Observer {
  unsigned slot;
  int ring_fd;
  ring_buffer* ring;
  std::vector<maps::flow_event> events;

  ~Observer() {
    ring_buffer__free(ring);
    close(ring_fd);
  }
};

Verdict delivered_to(const std::string& pod) { return {Verdict::kDelivered, pod, maps::DROP_NONE}; }
Verdict through_qdisc_of(const std::string& pod) { return {Verdict::kThroughQdisc, pod, maps::DROP_NONE}; }
Verdict to_stack() { return {Verdict::kToStack, "", maps::DROP_NONE}; }
Verdict tunnelled_to(std::uint32_t node) { return {Verdict::kTunnelled, std::to_string(node), maps::DROP_NONE}; }
Verdict sent_out_of(const std::string& uplink) { return {Verdict::kSentOut, uplink, maps::DROP_NONE}; }
Verdict dropped(maps::drop_reason reason) { return {Verdict::kDropped, "", reason}; }
Verdict told_sender(maps::drop_reason reason) { return {Verdict::kTold, "", reason}; }
Verdict answered() { return {Verdict::kAnswered, "", maps::DROP_NONE}; }

std::ostream& operator<<(std::ostream& out, const Verdict& verdict) {
  switch (verdict.kind) {
    case Verdict::kDelivered:
      return out << "delivered to " << verdict.pod;
    case Verdict::kThroughQdisc:
      return out << "through the qdisc of " << verdict.pod;
    case Verdict::kToStack:
      return out << "to the stack";
    case Verdict::kTunnelled:
      return out << "into the tunnel to node " << verdict.pod;
    case Verdict::kSentOut:
      return out << "sent out of " << verdict.pod;
    case Verdict::kDropped:
      return out << "dropped: " << reason_name(verdict.reason);
    case Verdict::kTold:
      return out << "dropped, sender told: " << reason_name(verdict.reason);
    case Verdict::kAnswered:
      return out << "answered";
    default:
      return out << "something odd";
  }
}

std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
  out << outcome.verdict;
  for (const std::string& problem : outcome.problems) out << "\n  problem: " << problem;
  return out << "\n  in:  " << decode(outcome.sent).text << "\n  out: " << decode(outcome.got).text << "\n ";
}

void Datapath::enter_namespace() {
  // What was loaded stays loaded, and is some 35 descriptors for each of the settings that the tests ask for.
  rlimit files{};
  need(getrlimit(RLIMIT_NOFILE, &files) == 0, "know how many files may be open");
  files.rlim_cur = files.rlim_max;
  need(setrlimit(RLIMIT_NOFILE, &files) == 0, "have more open files");
  need(unshare(CLONE_NEWNET) == 0, "make a network namespace");
  auto netlink = sure(loader::net::Netlink::open());
  const auto here = sure(loader::net::Netns::current());
  for (const char* forwarding : {"ipv4/ip_forward", "ipv6/conf/all/forwarding"})
    sure(loader::net::set_sysctl(forwarding, "1"));
  sure(netlink.set_up(sure(netlink.link("lo")).ifindex));  // without an address there is no table of them
  for (unsigned number = 1; number <= kInterfaces; number++) {
    loader::net::VethSpec spec;
    spec.host_name = interface_name(number);
    spec.host_mac = loader::kHostMac;
    spec.pod_name = interface_name(number) + "p";
    spec.pod_mac = Mac{{0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(number)}};
    sure(netlink.create_veth(spec, here));
  }
}

Datapath::Datapath(const Settings& settings)
    : settings_(settings), metrics_(std::size_t{maps::DROP_REASON_MAX} * unsigned{maps::HOOK_MAX}) {
  const auto found = std::ranges::find(idle(), settings, &Loaded::settings);
  if (found == idle().end()) {
    skeleton_ = load(settings);
  } else {
    skeleton_ = found->skeleton;
    idle().erase(found);
    clear(*skeleton_);
  }
  const auto& maps = skeleton_->maps;
  services_ = std::make_unique<ServiceMaps>(maps.services, maps.backend_slots, maps.backends, maps.source_ranges);
}

Datapath::~Datapath() {
  idle().push_back({settings_, skeleton_});
  // The tests share one namespace, in which there is no other default route.
  if (routes_.empty()) return;
  auto netlink = loader::net::Netlink::open();
  for (const auto& route : routes_)
    if (netlink) (void)netlink->delete_route(route);
}

Datapath& Datapath::pod(const std::string& name, const char* v4, const char* v6, const PodOptions& options) {
  auto known = std::ranges::find(pods_, name, &Pod::name);
  if (known == pods_.end()) {
    const auto number = static_cast<unsigned>(pods_.size() + 1);
    const auto link = sure(sure(loader::net::Netlink::open()).link(interface_name(number)));
    pods_.push_back({name,
                     {},
                     {},
                     Mac{{0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(number)}},
                     static_cast<std::uint32_t>(link.ifindex),
                     {}});
    known = pods_.end() - 1;
  }
  *known = {name, parse(v4), parse(v6), options.mac.value_or(known->mac), known->ifindex, options};
  maps::endpoint endpoint{};
  endpoint.ifindex = known->ifindex;
  endpoint.mtu = options.mtu;
  endpoint.flags =
      static_cast<__u16>((options.through_stack ? ENDPOINT_THROUGH_STACK : 0) | (options.shaped ? ENDPOINT_SHAPED : 0));
  std::memcpy(endpoint.pod_mac, known->mac.bytes.data(), 6);
  for (const Address& address : {known->v4, known->v6})
    need(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.endpoints), &address.wire(), &endpoint, BPF_ANY) == 0,
         "put endpoint");
  return new_epoch();
}

Datapath& Datapath::forget_pod(const std::string& name) {
  const Pod& pod = find(name);
  for (const Address& address : {pod.v4, pod.v6})
    need(bpf_map_delete_elem(bpf_map__fd(skeleton_->maps.endpoints), &address.wire()) == 0, "erase endpoint");
  return new_epoch();
}

Datapath& Datapath::new_epoch() {
  __atomic_fetch_add(&skeleton_->data_runtime->runtime.epoch, GENERATIONS, __ATOMIC_SEQ_CST);
  return *this;
}

const Datapath::Pod& Datapath::find(const std::string& name) const {
  const auto found = std::ranges::find(pods_, name, &Pod::name);
  if (found == pods_.end()) throw std::runtime_error("the test has no pod " + name);
  return *found;
}

std::string Datapath::name_of(std::uint32_t ifindex) const {
  const auto found = std::ranges::find(pods_, ifindex, &Pod::ifindex);
  return found == pods_.end() ? "interface " + std::to_string(ifindex) : found->name;
}

Mac Datapath::mac(const std::string& pod) const { return find(pod).mac; }
std::uint32_t Datapath::ifindex(const std::string& pod) const { return find(pod).ifindex; }

std::array<Address, 2> Datapath::addresses(const std::string& pod) const { return {find(pod).v4, find(pod).v6}; }

Bytes Datapath::frame_at(maps::hook hook, const std::string& pod, const Packet& packet) const {
  const Mac &mac = find(pod).mac, &host = settings_.host_mac;
  switch (hook) {
    case maps::HOOK_TO_POD:
      return packet.frame(host, mac);
    case maps::HOOK_FROM_OVERLAY:
      return packet.frame(loader::kTunnelSourceMac, host);
    case maps::HOOK_FROM_UPLINK:
      return packet.frame(kRouterMac, loader::kHostMac);
    case maps::HOOK_TO_OVERLAY:
      return packet.frame(host, host);
    default:
      return packet.frame(mac, host);
  }
}

Outcome Datapath::from_pod(const std::string& pod, const Packet& packet) {
  return run(maps::HOOK_FROM_POD, find(pod), frame_at(maps::HOOK_FROM_POD, pod, packet), &packet);
}

Outcome Datapath::from_pod(const std::string& pod, const Packet& packet, const Packet& becomes) {
  return run(maps::HOOK_FROM_POD, find(pod), frame_at(maps::HOOK_FROM_POD, pod, packet), &packet,
             frame_at(maps::HOOK_FROM_POD, pod, becomes));
}

Outcome Datapath::from_pod(const std::string& pod, const Bytes& frame) {
  return run(maps::HOOK_FROM_POD, find(pod), frame, nullptr);
}

Outcome Datapath::to_pod(const std::string& pod, const Packet& packet) {
  return run(maps::HOOK_TO_POD, find(pod), frame_at(maps::HOOK_TO_POD, pod, packet), &packet);
}

Outcome Datapath::to_pod(const std::string& pod, const Bytes& frame) {
  return run(maps::HOOK_TO_POD, find(pod), frame, nullptr);
}

Outcome Datapath::to_pod(const std::string& pod, const Packet& packet, const Packet& becomes) {
  return run(maps::HOOK_TO_POD, find(pod), frame_at(maps::HOOK_TO_POD, pod, packet), &packet,
             frame_at(maps::HOOK_TO_POD, pod, becomes));
}

Outcome Datapath::from_overlay(const std::string& pod, const Packet& packet) {
  return run(maps::HOOK_FROM_OVERLAY, find(pod), frame_at(maps::HOOK_FROM_OVERLAY, pod, packet), &packet);
}

Outcome Datapath::to_overlay(const std::string& pod, const Packet& packet) {
  return run(maps::HOOK_TO_OVERLAY, find(pod), frame_at(maps::HOOK_TO_OVERLAY, pod, packet), &packet);
}

Outcome Datapath::from_uplink(const std::string& pod, const Packet& packet) {
  return run(maps::HOOK_FROM_UPLINK, find(pod), frame_at(maps::HOOK_FROM_UPLINK, pod, packet), &packet);
}

Outcome Datapath::from_uplink(const std::string& pod, const Packet& packet, const Packet& becomes) {
  return run(maps::HOOK_FROM_UPLINK, find(pod), frame_at(maps::HOOK_FROM_UPLINK, pod, packet), &packet,
             frame_at(maps::HOOK_FROM_UPLINK, pod, becomes));
}

Outcome Datapath::from_uplink(const std::string& pod, const Bytes& frame) {
  return run(maps::HOOK_FROM_UPLINK, find(pod), frame, nullptr);
}

Path Datapath::path_from_pod(const std::string& pod, const Packet& packet) const {
  return interpret(*skeleton_->obj, "from_pod", frame_at(maps::HOOK_FROM_POD, pod, packet), find(pod).ifindex);
}

Outcome Datapath::run(maps::hook hook, const Pod& pod, const Bytes& frame, const Packet* packet,
                      const std::optional<Bytes>& becomes) {
  Outcome outcome{{}, frame, Bytes(frame.size() + 256), {}};
  __sk_buff context{};
  context.ifindex = pod.ifindex;
  context.ingress_ifindex = hook == maps::HOOK_TO_POD ? 0 : pod.ifindex;
  context.gso_size = packet != nullptr ? packet->gso_size() : 0;
  context.gso_segs = context.gso_size != 0 ? static_cast<__u32>(frame.size() / context.gso_size + 1) : 0;
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = frame.data();
  options.data_size_in = static_cast<__u32>(frame.size());
  options.data_out = outcome.got.data();
  options.data_size_out = static_cast<__u32>(outcome.got.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof(context);
  need(bpf_prog_test_run_opts(program(maps::hook_name(hook).c_str()), &options) == 0,
       "run a packet of " + std::to_string(frame.size()) + " bytes");
  outcome.got.resize(options.data_size_out);
  outcome.verdict = judge(hook, options.retval, packet, outcome.problems);
  const bool leaves = outcome.verdict.kind != Verdict::kDropped;
  compare(outcome.verdict, leaves && becomes ? *becomes : outcome.sent, outcome);
  return outcome;
}

// The verdict follows from the program's action, from what it has counted and, for a redirect, from the flow entry: the
// kernel does not tell a test run where to.
Verdict Datapath::judge(maps::hook hook, std::uint32_t action, const Packet* packet,
                        std::vector<std::string>& problems) {
  std::vector<maps::drop_reason> counted;
  for (const std::uint32_t index : metric_indices()) {
    const auto reason = static_cast<maps::drop_reason>(index / maps::HOOK_MAX);
    const maps::metric now = metric(reason, static_cast<maps::hook>(index % maps::HOOK_MAX));
    const std::uint64_t more = now.packets - metrics_[index].packets;
    metrics_[index] = now;
    if (more != 0 && index % maps::HOOK_MAX != static_cast<unsigned>(hook))
      problems.emplace_back("counted at the other hook");
    counted.insert(counted.end(), more, reason);
  }
  const bool answer =
      counter(maps::COUNTER_NEIGHBOUR_ANSWERED) != std::exchange(answered_, counter(maps::COUNTER_NEIGHBOUR_ANSWERED));
  const maps::drop_reason reason = counted.size() == 1 ? counted.front() : maps::DROP_NONE;
  if (counted.size() > 1) problems.emplace_back("counted more than once");
  if (action == TC_ACT_SHOT && reason != maps::DROP_NONE) return dropped(reason);
  if (action == static_cast<std::uint32_t>(TC_ACT_UNSPEC) && reason == maps::DROP_NONE) {
    const auto found = hook == maps::HOOK_TO_OVERLAY && !counted.empty() ? flow(*packet) : std::nullopt;
    return found ? tunnelled_to(found->half().node) : to_stack();
  }
  if (action != TC_ACT_REDIRECT) {
    problems.push_back("action " + std::to_string(static_cast<int>(action)) + " with " +
                       std::to_string(counted.size()) + " counts");
    return {};
  }
  if (answer) return answered();
  if (reason != maps::DROP_NONE) return told_sender(reason);
  if (counted.empty()) problems.emplace_back("forwarded without being counted");
  if (packet == nullptr) return delivered_to(kSomebody);
  const auto found = flow(*packet);
  if (!found) return {};
  if (found->half().delivery == maps::FLOW_TO_TUNNEL) return tunnelled_to(found->half().node);
  const std::string pod = name_of(found->half().egress_ifindex);
  if (found->half().delivery == maps::FLOW_TO_UPLINK) return sent_out_of(pod);
  return found->half().delivery == maps::FLOW_TO_PEER ? delivered_to(pod) : through_qdisc_of(pod);
}

void Datapath::compare(const Verdict& verdict, const Bytes& left_as, Outcome& outcome) const {
  const bool forwards = verdict.kind == Verdict::kDelivered || verdict.kind == Verdict::kThroughQdisc;
  const bool answers = verdict.kind == Verdict::kTold || verdict.kind == Verdict::kAnswered;
  Bytes want = without_tags(left_as);
  // One that is dropped may have lost some of its tags.
  const bool unknown = answers || verdict.pod == kSomebody || verdict.kind == Verdict::kOddity ||
                       (verdict.kind == Verdict::kDropped && want != outcome.sent);
  if (verdict.kind == Verdict::kSentOut) want = forwarded(want, {}, {});
  // Of the node's own the stack has counted the hops.
  const bool own = verdict.kind == Verdict::kTunnelled &&
                   Bytes(want.begin(), want.begin() + 6) == Bytes(want.begin() + 6, want.begin() + 12);
  if (own) std::copy(loader::kTunnelSourceMac.bytes.begin(), loader::kTunnelSourceMac.bytes.end(), want.begin() + 6);
  if (verdict.kind == Verdict::kTunnelled && !own)
    want = settings_.direct ? forwarded(want, mac_at(outcome.got, 0), mac_at(outcome.got, 6))  // a name, if any
                            : forwarded(want, settings_.host_mac, loader::kTunnelSourceMac);
  if (forwards && !unknown) want = forwarded(want, find(verdict.pod).mac, settings_.host_mac);
  if (!unknown && want != outcome.got) outcome.problems.emplace_back("the packet is not what it should be");
  // What was wrong before is still wrong, and wrong where an error quotes it; what the program itself has made is
  // right.
  const bool faultless = decode(outcome.sent).problems.empty();
  if (!faultless && !answers) return;
  for (const std::string& problem : decode(outcome.got).problems)
    if (faultless || problem.find("quoted") == std::string::npos) outcome.problems.push_back("wrong " + problem);
}

std::optional<Flow> Datapath::flow(const Tuple& tuple) const {
  Flow flow{};
  const maps::flow_key key = flow_key_of(tuple, flow.dir);
  if (bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.flows), &key, &flow.entry) != 0) return std::nullopt;
  return flow;
}

std::vector<maps::flow_entry> Datapath::flows() const {
  std::vector<maps::flow_entry> entries;
  const int fd = bpf_map__fd(skeleton_->maps.flows);
  maps::flow_key key, next;
  for (const maps::flow_key* last = nullptr; bpf_map_get_next_key(fd, last, &next) == 0; last = &key) {
    maps::flow_entry entry;
    if (bpf_map_lookup_elem(fd, &next, &entry) == 0) entries.push_back(entry);
    key = next;
  }
  return entries;
}

void Datapath::age(const Packet& packet, unsigned seconds) {
  auto found = flow(packet);
  if (!found) throw std::runtime_error("there is no flow to age");
  const std::uint64_t then = now_ns() - std::uint64_t{seconds} * 1'000'000'000;
  for (auto& half : found->entry.half) half.last_seen_ns = half.last_seen_ns != 0 ? then : 0;
  unsigned dir = 0;
  const maps::flow_key key = flow_key_of(packet.tuple(), dir);
  need(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.flows), &key, &found->entry, BPF_EXIST) == 0, "age a flow");
}

void Datapath::forget(const Packet& packet) {
  unsigned dir = 0;
  const maps::flow_key key = flow_key_of(packet.tuple(), dir);
  need(bpf_map_delete_elem(bpf_map__fd(skeleton_->maps.flows), &key) == 0, "forget a flow");
}

std::uint64_t Datapath::counter(maps::counter counter) const {
  std::vector<std::uint64_t> values(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  const std::uint32_t index = counter;
  need(bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.counters), &index, values.data()) == 0, "read a counter");
  std::uint64_t sum = 0;
  for (const std::uint64_t value : values) sum += value;
  return sum;
}

maps::metric Datapath::metric(maps::drop_reason reason, maps::hook hook) const {
  std::vector<maps::metric> values(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  const auto index = maps::metric_index(static_cast<__u32>(reason), static_cast<__u32>(hook));
  need(bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.metrics), &index, values.data()) == 0, "read a metric");
  maps::metric sum{};
  for (const maps::metric& value : values) {
    sum.packets += value.packets;
    sum.bytes += value.bytes;
  }
  return sum;
}

void Datapath::observe(unsigned slot, maps::observer_filter filter, std::uint32_t ring_bytes) {
  auto observer = std::make_unique<Observer>(Observer{slot, -1, nullptr, {}});
  observer->ring_fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "events", 0, 0, ring_bytes, nullptr);
  need(observer->ring_fd >= 0, "make a ring buffer");
  const auto keep = [](void* context, void* data, std::size_t) {
    maps::flow_event event;
    std::memcpy(&event, data, sizeof(event));
    static_cast<Observer*>(context)->events.push_back(event);
    return 0;
  };
  observer->ring = ring_buffer__new(observer->ring_fd, keep, observer.get(), nullptr);
  need(observer->ring != nullptr, "read a ring buffer");
  if (filter.lease_ns == 0) filter.lease_ns = now_ns() + 3600ULL * 1'000'000'000;
  need(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.observers), &slot, &observer->ring_fd, BPF_ANY) == 0,
       "take an observer slot");
  need(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.observer_filters), &slot, &filter, BPF_ANY) == 0,
       "set a filter");
  auto& runtime = skeleton_->data_runtime->runtime;
  __atomic_fetch_or(&runtime.observers, 1U << slot, __ATOMIC_SEQ_CST);
  if (filter.events & 1U << maps::EVENT_PACKET)
    __atomic_fetch_or(&runtime.packet_observers, 1U << slot, __ATOMIC_SEQ_CST);
  observers_.push_back(std::move(observer));
}

std::vector<maps::flow_event> Datapath::events(unsigned slot) {
  const auto found = std::ranges::find(observers_, slot, [](const auto& observer) { return observer->slot; });
  need(found != observers_.end() && ring_buffer__consume((*found)->ring) >= 0, "read events");
  return std::exchange((*found)->events, {});
}

maps::observer_filter Datapath::filter(unsigned slot) const {
  maps::observer_filter filter;
  need(bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.observer_filters), &slot, &filter) == 0, "read a filter");
  return filter;
}

int Datapath::program(const char* name) const {
  return bpf_program__fd(bpf_object__find_program_by_name(skeleton_->obj, name));
}

const bpf_object& Datapath::object() const { return *skeleton_->obj; }

int Datapath::flows_map() const { return bpf_map__fd(skeleton_->maps.flows); }

}  // namespace sluice::test
