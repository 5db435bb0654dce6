#include "tests/loader/node.hpp"

#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>

#include <cerrno>
#include <filesystem>
#include <stdexcept>

#include "loader/config.hpp"

namespace sluice::test {
namespace {

constexpr const char* kPodNamespace = "/run/sluice-test-pod";

}  // namespace

void Node::enter_namespaces() {
  if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("tmpfs", "/run", "tmpfs", 0, nullptr) != 0)
    throw std::runtime_error(fail(errno, "make namespaces of our own (is this root?)").message);
  must(loader::net::Netns::create(kPodNamespace));
}

Node::Node() {
  char name[] = "/run/node.XXXXXX";
  if (mkdtemp(name) == nullptr) throw std::runtime_error("no folder for a node");
  folder_ = name;
  root_ = loader::Root(folder_);
}

Node::~Node() {
  auto netlink = must(loader::net::Netlink::open());
  for (const std::string& name : interfaces_) must(netlink.delete_link(name));
  umount2(root_.bpffs().c_str(), MNT_DETACH);
  std::filesystem::remove_all(folder_);
}

loader::net::Link Node::add_interface(const std::string& name) {
  return add_interface(name, must(loader::net::Netns::open(kPodNamespace)), name, Mac{{2, 0, 0, 0, 0, 9}});
}

loader::net::Link Node::add_interface(const std::string& name, const loader::net::Netns& pod,
                                      const std::string& pod_name, const Mac& pod_mac) {
  auto netlink = must(loader::net::Netlink::open());
  must(netlink.create_veth({.host_name = name,
                            .host_alias = {},
                            .host_mac = loader::kHostMac,
                            .pod_name = pod_name,
                            .pod_mac = pod_mac,
                            .mtu = 1500},
                           pod));
  interfaces_.push_back(name);
  return must(netlink.link(name));
}

}  // namespace sluice::test
