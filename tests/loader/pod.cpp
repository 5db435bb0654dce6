#include "tests/loader/pod.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "loader/config.hpp"
#include "loader/net/netlink.hpp"

namespace sluice::test {

using loader::net::Netlink;
using loader::net::Netns;

namespace {

constexpr Mac kPodMac{{2, 0, 0, 0, 0, 9}};
constexpr const char* kPodInterface = "eth0";

void configure_inside(const Netns& netns, const std::vector<Address>& addresses) {
  auto netlink = must(Netlink::open_in(netns));
  const int ifindex = must(netlink.link(kPodInterface)).ifindex;
  must(netlink.set_up(ifindex));
  for (const Address& address : addresses) {
    const Address gateway = must(Address::parse(address.is_v4() ? loader::kGatewayV4 : loader::kGatewayV6));
    must(netlink.add_address(ifindex, Prefix::host(address)));
    must(netlink.put_neighbour(ifindex, gateway, loader::kHostMac));
    must(netlink.put_route({.destination = {},
                            .family_v4 = address.is_v4(),
                            .gateway = gateway,
                            .onlink = true,
                            .ifindex = ifindex,
                            .source = {}}));
  }
}

}  // namespace

Pod::Pod(Node& node, loader::program::Datapath& datapath, const std::string& name, const std::string& v4,
         const std::string& v6, loader::AttachMode mode)
    : path_("/run/" + name), netns_(std::make_unique<Netns>(must(Netns::create(path_)))) {
  const std::vector<Address> addresses = {must(Address::parse(v4)), must(Address::parse(v6))};
  const auto host_end = node.add_interface(name, *netns_, kPodInterface, kPodMac);
  attach_by(datapath, host_end, mode);
  auto netlink = must(Netlink::open());
  must(netlink.set_up(host_end.ifindex));
  configure_inside(*netns_, addresses);
  for (const Address& address : addresses) {
    must(netlink.put_neighbour(host_end.ifindex, address, kPodMac));
    must(netlink.put_route(
        {.destination = Prefix::host(address), .gateway = {}, .ifindex = host_end.ifindex, .source = {}}));
    must(datapath.put_endpoint(address, {.ifindex = host_end.ifindex, .pod_mac = kPodMac, .mtu = 1500}));
  }
}

Pod::~Pod() { must(Netns::destroy(path_)); }

pid_t Pod::start(const std::function<bool()>& work) const {
  const pid_t child = fork();
  if (child != 0) return child;
  bool good = false;
  const auto inside = netns_->run([&]() -> Result<void> {
    good = work();
    return {};
  });
  _exit(inside && good ? 0 : 1);
}

void attach_by(loader::program::Datapath& datapath, const loader::net::Link& host_end, loader::AttachMode mode) {
  auto attached = datapath.attach_pod(host_end.ifindex, host_end.name, mode);
  if (mode == loader::AttachMode::kTcx && attached.failed_with(EOPNOTSUPP))
    attached = datapath.attach_pod(host_end.ifindex, host_end.name, loader::AttachMode::kClsact);
  must(attached);
}

int exit_status(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace sluice::test
