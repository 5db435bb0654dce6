#include "tests/datapath/socket_hooks.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "loader/net/netlink.hpp"
#include "loader/net/netns.hpp"
#include "maps/runtime.h"
#include "maps/types.h"

// The skeleton names the layouts as C does.
using sluice::maps::addr;
using sluice::maps::runtime;
#include "sock.skel.h"

namespace sluice::test {
namespace {

void need(bool fine, const std::string& what) {
  if (!fine) throw std::runtime_error(what + ": " + std::strerror(errno));
}

template <typename T>
T sure(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

std::string hierarchy() {
  for (const char* path : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    struct statfs found {};
    if (statfs(path, &found) == 0 && found.f_type == CGROUP2_SUPER_MAGIC) return path;
  }
  throw std::runtime_error("no cgroup2 is mounted");
}

template <typename Value>
std::vector<Value> per_cpu(const bpf_map* map, std::uint32_t index) {
  std::vector<Value> values(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  need(bpf_map_lookup_elem(bpf_map__fd(map), &index, values.data()) == 0, "read a map");
  return values;
}

}  // namespace

struct SocketHooks::Group {
  std::string path = hierarchy() + "/sluice-datapath-" + std::to_string(getpid());
  loader::net::Netns netns = sure(loader::net::Netns::current());
  int fd = -1;

  Group() {
    need(mkdir(path.c_str(), 0755) == 0 || errno == EEXIST, "make control group " + path);
    fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    need(fd >= 0, "open control group " + path);
  }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  ~Group() {
    close(fd);
    rmdir(path.c_str());
  }
};

SocketHooks::SocketHooks(Whose whose, std::uint32_t sockets)
    : group_(std::make_unique<Group>()), skeleton_(sock_bpf::open()) {
  need(skeleton_ != nullptr, "open sock.bpf.o");
  auto& data = *skeleton_->rodata;
  if (whose == Whose::kNode) data.cfg_netns_cookie = sure(loader::net::Netns::current_cookie());
  data.cfg_node_v4 = SocketAddress("192.0.2.1:0").address.wire();
  data.cfg_node_v6 = SocketAddress("[2001:db8::1]:0").address.wire();
  const auto& maps = skeleton_->maps;
  bpf_map__set_max_entries(maps.sockets, sockets);
  for (bpf_map* map : {maps.backends, maps.backend_slots}) bpf_map__set_max_entries(map, 4096);
  const int err = sock_bpf::load(skeleton_);
  errno = -err;
  need(err == 0, "load sock.bpf.o");
  services_ = std::make_unique<ServiceMaps>(maps.services, maps.backend_slots, maps.backends, maps.source_ranges);
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton_->obj) {
    links_.push_back(
        bpf_link_create(bpf_program__fd(program), group_->fd, bpf_program__expected_attach_type(program), nullptr));
    need(links_.back() >= 0, std::string("attach ") + bpf_program__name(program));
  }
  constexpr int kLoopback = 1;
  sure(sure(loader::net::Netlink::open()).set_up(kLoopback));
}

SocketHooks::~SocketHooks() {
  for (const int link : links_) close(link);
  sock_bpf::destroy(skeleton_);
}

SocketHooks& SocketHooks::service(const SocketAddress& frontend, std::uint8_t proto,
                                  const std::vector<SocketAddress>& backends, const ServiceOptions& options) {
  services_->service(frontend, proto, backends, options);
  skeleton_->data_runtime->runtime.has_services = 1;
  return *this;
}

SocketHooks& SocketHooks::service_address(const char* address) {
  services_->address(sure(Address::parse(address)));
  skeleton_->data_runtime->runtime.has_services = 1;
  return *this;
}

SocketHooks& SocketHooks::backends_become(maps::backend_state state) {
  services_->backends_become(state);
  return *this;
}

e2e::Home SocketHooks::home() const { return {group_->netns, group_->path}; }

std::optional<loader::program::SocketAnswer> SocketHooks::traced(const SocketAddress& to, std::uint8_t proto) const {
  const Fd hook(fcntl(bpf_program__fd(skeleton_->progs.sock_connect4), F_DUPFD_CLOEXEC, 0));
  return sure(loader::program::ask_sockets(hook, {to.address, to.port}, proto));
}

std::uint64_t SocketHooks::translated() const {
  std::uint64_t sum = 0;
  for (const std::uint64_t one : per_cpu<std::uint64_t>(skeleton_->maps.counters, maps::COUNTER_SOCKET_TRANSLATED))
    sum += one;
  return sum;
}

std::uint64_t SocketHooks::refused(maps::drop_reason reason) const {
  std::uint64_t sum = 0;
  for (const auto& one : per_cpu<maps::metric>(skeleton_->maps.metrics, maps::metric_index(reason, maps::HOOK_SOCKET)))
    sum += one.packets;
  return sum;
}

void SocketHooks::forget(maps::socket_direction direction) {
  const int map = bpf_map__fd(skeleton_->maps.sockets);
  std::vector<maps::socket_key> gone;
  maps::socket_key key{}, *at = nullptr;
  for (; bpf_map_get_next_key(map, at, &key) == 0; at = &key)
    if (key.direction == direction) gone.push_back(key);
  for (const auto& one : gone) bpf_map_delete_elem(map, &one);
}

}  // namespace sluice::test
