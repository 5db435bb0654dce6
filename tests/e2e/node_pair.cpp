#include "tests/e2e/node_pair.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <thread>

#include "loader/net/netlink.hpp"
#include "loader/observe/metrics.hpp"

namespace sluice::e2e {

namespace {

const char* const kBalancer[] = {"2001:db8:50::10", "203.0.113.10"};

std::string pattern(std::size_t size) {
  std::string data(size, '\0');
  std::uint32_t state = 7;
  for (auto& byte : data) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<char>(state >> 24);
  }
  return data;
}

/// What arrives of a datagram. The first one may only find out what fits into the pods' network: IPv6 has no routers
/// that fragment.
Result<Datagram> carried(const Socket& from, const Socket& into, const std::string& data, const Address& to,
                         std::uint16_t port) {
  TRY(from.send_to(data, to, port));
  auto arrived = into.receive();
  if (arrived) return arrived;
  TRY(from.send_to(data, to, port));
  return into.receive();
}

std::string config_of(const std::string& mode, const std::string& more) {
  return R"({"mode": ")" + mode + '"' + (more.empty() ? "" : ", ") + more + "}";
}

/// ethtool -K DEVICE tx off
Result<void> finish_checksums(const std::string& device) {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ethtool_value value{.cmd = ETHTOOL_STXCSUM, .data = 0};
  ifreq request{};
  device.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
  request.ifr_data = reinterpret_cast<char*>(&value);
  if (ioctl(socket.get(), SIOCETHTOOL, &request) != 0) return fail(errno, "switch checksums of " + device + " off");
  return {};
}

/// A program that lets everything pass: a veth takes what XDP sends at the other end only where it has one itself.
Result<Fd> take_from_xdp(int ifindex) {
  const std::array<bpf_insn, 2> code = {
      bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = XDP_PASS},
      bpf_insn{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  const Fd program(bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", code.data(), code.size(), nullptr));
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
  Fd link(bpf_link_create(program.get(), ifindex, BPF_XDP, &options));
  if (link.get() < 0) return fail(errno, "attach an XDP program");
  return link;
}

}  // namespace

Address balancer(bool v4) { return must(Address::parse(kBalancer[v4])); }

std::string balanced_yaml(const std::string& policy) {
  return R"(---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  type: LoadBalancer
  externalTrafficPolicy: )" +
         policy + R"(
  clusterIPs: [10.96.0.1, "fd00:10:96::1"]
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  ports:
  - {name: tcp, port: 80, targetPort: 8080, nodePort: 30080}
  - {name: udp, protocol: UDP, port: 80, targetPort: 8080, nodePort: 30080}
status: {loadBalancer: {ingress: [{ip: 203.0.113.10}, {ip: "2001:db8:50::10"}]}}
)";
}

NodePair::NodePair(const std::string& mode, const std::string& more)
    : cluster(config_node_yaml(1, config_of(mode, more)) + config_node_yaml(2, config_of(mode, more)) +
              pod_yaml("here", "node-1") + pod_yaml("there", "node-2")) {
  for (const bool v4 : kFamilies) {
    const auto route = cluster.lab({"world", "--", "ip", "route", "add", balancer(v4).text(), "via",
                                    node.address(v4).text(), "dev", "underlay", "onlink"});
    REQUIRE_MESSAGE(route.status == 0, route.output);
  }
}

void NodePair::apply(const std::string& yaml) const {
  const TextFile file(yaml);
  const auto outcome = cluster.lab({"apply", file.path()});
  REQUIRE_MESSAGE(outcome.status == 0, outcome.output);
}

bool NodePair::answers(bool v4) const {
  std::vector<Socket> listeners;
  for (const Place* place : {&here, &there})
    listeners.push_back(must(Socket::tcp_listener(place->netns, place->address(v4), kTargetPort)));
  return bool(Socket::tcp_connected(world.netns, node.address(v4), kNodePort));
}

void NodePair::wire(const std::string& which) {
  must(world.netns.run([&]() -> Result<void> {
    for (const auto& link : TRY(TRY(loader::net::Netlink::open()).links())) {
      if (link.alias != which) continue;
      wires_.push_back(TRY(take_from_xdp(link.ifindex)));
      return finish_checksums(link.name);
    }
    return refuse(ENODEV, "the underlay has no port for " + which);
  }));
}

std::uint64_t NodePair::forwarded(const std::string& which, maps::hook hook) const {
  std::uint64_t packets = 0;
  for (const auto& one : must(loader::observe::traffic(cluster.root(which))))
    if (one.reason == maps::DROP_NONE && one.hook == hook) packets += one.packets;
  return packets;
}

void exchange(const Place& client, const Address& to, std::uint16_t port, const Place& server, const Address& seen_as) {
  CAPTURE(to.text());
  CAPTURE(port);
  const bool v4 = to.is_v4();
  const Socket listener = must(Socket::tcp_listener(server.netns, server.address(v4), kTargetPort));
  Result<Socket> connected = Socket::tcp_connected(client.netns, to, port);
  REQUIRE_MESSAGE(connected, connected.error().message);
  const auto [accepted, peer] = must(listener.accept());
  CHECK(peer.text() == seen_as.text());
  const auto data = pattern(4 << 20);
  const Socket* const ends[] = {&*connected, &accepted};
  for (const int sender : {0, 1}) {
    Result<void> sent;
    std::thread sending([&] { sent = ends[sender]->send(data); });
    const auto arrived = ends[1 - sender]->read(data.size());
    sending.join();
    must(sent);
    CHECK((arrived && *arrived == data));
  }
}

void ask_by_udp(const Place& client, const Address& to, std::uint16_t port, const Place& server,
                const Address& seen_as) {
  CAPTURE(to.text());
  const bool v4 = to.is_v4();
  const Socket listener = must(Socket::udp(server.netns, server.address(v4), kTargetPort));
  const Socket asks = must(Socket::udp(client.netns, client.address(v4)));
  for (const std::size_t size : {8, 4000}) {  // the second in fragments
    const Datagram question = must(carried(asks, listener, std::string(size, 'q'), to, port));
    CHECK(question.data == std::string(size, 'q'));
    CHECK(question.from.text() == seen_as.text());
    const Datagram answer = must(carried(listener, asks, std::string(size, 'a'), question.from, question.port));
    CHECK(answer.data == std::string(size, 'a'));
    CHECK(answer.from.text() == to.text());
    CHECK(answer.port == port);
  }
}

bool received(const Outcome& ping) { return ping.output.find(" 1 received") != std::string::npos; }

}  // namespace sluice::e2e
