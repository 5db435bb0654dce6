/// sluice-cni: attaches containers to Sluice. One process a call, no daemon: request in, commands.hpp, answer out.
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string_view>

#include "cni/commands.hpp"
#include "cni/error.hpp"
#include "cni/request.hpp"

namespace sluice::cni {

namespace {

constexpr std::size_t kLargestConfig = 16UL << 20;

constexpr const char* kHelp =
    R"(sluice-cni )" SLUICE_VERSION R"(: the CNI plugin of Sluice. Container runtimes run it, people hardly ever.

A runtime (containerd, CRI-O, podman) finds it in its folder of CNI plugins, usually /opt/cni/bin, by the "type" of a
network configuration in /etc/cni/net.d. The request comes in the environment (CNI_COMMAND and others), the configuration
on standard input, and the answer goes to standard output (CNI specification 1.1.0; configurations of 0.3.0 to 1.1.0).

To attach a network namespace by hand, as root, and to take it off again by the same with CNI_COMMAND=DEL:

  ip netns add demo
  export CNI_CONTAINERID=demo CNI_NETNS=/run/netns/demo CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin
  echo '{"cniVersion": "1.1.0", "name": "demo", "type": "sluice-cni", "podCIDRs": ["10.244.1.0/24"]}' |
    CNI_COMMAND=ADD sluice-cni

Exit status: 0 done; 1 failed, with an error object on standard output; 2 wrong usage.
)";

Result<std::string> read_input() {
  std::string input;
  std::array<char, 16384> buffer{};
  for (;;) {
    const auto length = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return fail(errno, "read the network configuration from standard input");
    if (length == 0) return input;
    input.append(buffer.data(), static_cast<std::size_t>(length));
    if (input.size() > kLargestConfig) return fail(EFBIG, "read the network configuration from standard input");
  }
}

Environment cni_environment() {
  Environment variables;
  for (char** entry = environ; *entry != nullptr; entry++) {
    const std::string_view text(*entry);
    const auto equals = text.find('=');
    if (text.starts_with("CNI_") && equals != std::string_view::npos) {
      variables.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return variables;
}

Result<nlohmann::json> answer(const Request& request) {
  switch (request.command) {
    case Command::kAdd:
      return add(request);
    case Command::kDel:
      return del(request);
    case Command::kCheck:
      return check(request);
    case Command::kGc:
      return gc(request);
    case Command::kStatus:
      return status(request);
    case Command::kVersion:
      return nlohmann::json(version(request));
  }
  std::abort();
}

void print(const nlohmann::json& object) {
  if (!object.is_null())
    std::cout << object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n' << std::flush;
}

/// Somebody at a terminal runs the plugin, not a runtime, which gives no arguments and always a command.
std::optional<int> explain(int argc, char** argv) {
  if (argc < 2) {
    if (std::getenv("CNI_COMMAND") != nullptr || ::isatty(STDIN_FILENO) == 0) return std::nullopt;
    std::cerr << kHelp;
    return 2;
  }
  const std::string_view argument(argv[1]);
  if (argument == "--version") {
    std::cout << SLUICE_VERSION << '\n' << std::flush;
    return 0;
  }
  const bool asked = argument == "--help" || argument == "-h";
  (asked ? std::cout : std::cerr) << kHelp;
  return asked ? 0 : 2;
}

int run() {
  const auto input = read_input();
  if (!input) {
    print(error_object(input.error(), kNewestVersion));
    return 1;
  }
  const auto request = Request::read(cni_environment(), *input);
  const auto result = request ? answer(*request) : Result<nlohmann::json>(request.error());
  if (!result) {
    print(error_object(result.error(), version_asked(*input)));
    return 1;
  }
  print(*result);
  return 0;
}

}  // namespace

nlohmann::json version(const Request& request) {
  return {{"cniVersion", request.version}, {"supportedVersions", kVersions}};
}

}  // namespace sluice::cni

int main(int argc, char** argv) {
  const auto explained = sluice::cni::explain(argc, argv);
  return explained ? *explained : sluice::cni::run();
}
