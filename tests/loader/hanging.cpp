#include "tests/loader/hanging.hpp"

#include <bpf/bpf.h>
#include <fcntl.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "loader/program/pin.hpp"
#include "loader/program/socket_hooks.hpp"
#include "loader/program/status.hpp"
#include "maps/views.hpp"
#include "tests/loader/pod.hpp"

namespace sluice::test {

namespace program = loader::program;
using loader::AttachMode;

loader::NodeConfig config_with_udp_timeout(int seconds) {
  loader::NodeConfig config;
  config.maps.flows = 1024;
  config.maps.endpoints = 64;
  config.maps.fragments = 64;
  config.maps.sockets = 64;
  config.socket_balancing = false;
  config.timeouts.udp_established = std::chrono::seconds(seconds);
  return config;
}

TestGroup::TestGroup(const std::string& name)
    : path_(must(program::ControlGroup::find(loader::Root(), {})).path() / name) {
  std::filesystem::create_directory(path_);
}

TestGroup::~TestGroup() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

loader::NodeConfig TestGroup::config(int udp_timeout_seconds) const {
  auto config = config_with_udp_timeout(udp_timeout_seconds);
  config.socket_balancing = true;
  config.cgroup = path_;
  return config;
}

std::size_t programs_on(const TestGroup& group) {
  const Fd fd(open(group.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::size_t sum = 0;
  for (const auto type :
       {BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT, BPF_CGROUP_UDP4_SENDMSG, BPF_CGROUP_UDP6_SENDMSG,
        BPF_CGROUP_UDP4_RECVMSG, BPF_CGROUP_UDP6_RECVMSG, BPF_CGROUP_INET4_GETPEERNAME, BPF_CGROUP_INET6_GETPEERNAME}) {
    std::array<std::uint32_t, 64> ids{};
    std::uint32_t count = ids.size();
    if (bpf_prog_query(fd.get(), type, 0, nullptr, ids.data(), &count) != 0)
      throw std::runtime_error("ask for the programs of " + group.path());
    sum += count;
  }
  return sum;
}

Hanging hanging(const Node& node) {
  Hanging found;
  for (const auto& program : must(program::program_status(node.root())))
    for (const auto& attachment : program.attachments) {
      found.ids.insert(attachment.program_id);
      found.hooks++;
    }
  return found;
}

std::set<std::uint32_t> pinned_ids(const Node& node) {
  std::vector<const char*> names(program::kSocketPrograms.begin(), program::kSocketPrograms.end());
  names.insert(names.end(), {program::kFromPod, program::kToPod});
  if (!must(must(maps::open<maps::Uplinks>(node.root().maps())).dump()).empty()) names.push_back(program::kFromUplink);
  std::set<std::uint32_t> ids;
  for (const char* name : names) {
    auto pin = program::open_pin(program::program_pin(node.root(), name));
    if (pin.failed_with(ENOENT)) continue;
    bpf_prog_info info{};
    std::uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(must(std::move(pin)).get(), &info, &size) != 0)
      throw std::runtime_error("read a program");
    ids.insert(info.id);
  }
  return ids;
}

std::vector<std::string> unfinished_pins(const Node& node) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(node.root().pins()))
    if (entry.path().string().ends_with("_new")) found.push_back(entry.path());
  return found;
}

void attach_both_ways(Node& node, program::Datapath& datapath, const std::string& name) {
  attach_by(datapath, node.add_interface(name + "0"), AttachMode::kClsact);
  attach_by(datapath, node.add_interface(name + "1"), AttachMode::kTcx);
}

}  // namespace sluice::test
