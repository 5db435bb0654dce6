#include "loader/program/forwarding.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include "loader/net/netlink.hpp"

namespace sluice::loader::program {
namespace {

constexpr const char* kIpv6Settings = "/proc/sys/net/ipv6/conf";

std::string read_word(const std::filesystem::path& path) {
  std::string word;
  std::ifstream(path) >> word;
  return word;
}

}  // namespace

Result<void> enable_forwarding() {
  TRY(net::set_sysctl("ipv4/ip_forward", "1"));
  std::error_code error;
  const std::filesystem::path settings = kIpv6Settings;
  if (!std::filesystem::exists(settings, error)) return {};  // the kernel was started without IPv6
  if (read_word(settings / "all/forwarding") == "1") return {};
  for (const auto& interface : std::filesystem::directory_iterator(settings, error)) {
    const std::string name = interface.path().filename();
    if (name != "all" && read_word(interface.path() / "accept_ra") == "1")
      TRY(net::set_sysctl("ipv6/conf/" + name + "/accept_ra", "2"));
  }
  return net::set_sysctl("ipv6/conf/all/forwarding", "1");
}

}  // namespace sluice::loader::program
