/// sluice-cni: attaches containers to Sluice. One process a call, no daemon: request in, commands.hpp, answer out.
#include <unistd.h>

#include <array>
#include <cerrno>
#include <iostream>
#include <string_view>

#include "cni/commands.hpp"
#include "cni/error.hpp"
#include "cni/request.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration)

namespace sluice::cni {

namespace {

constexpr std::size_t kLargestConfig = 16UL << 20;

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
  if (!object.is_null()) std::cout << object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
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

int main() { return sluice::cni::run(); }
