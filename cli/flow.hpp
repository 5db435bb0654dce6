/// What the verbs of `bpfctl flow` share.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cli/command.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::cli {

/// --address, --port, --protocol and --pod as given.
struct FlowOptions {
  std::string address;
  std::uint16_t port = 0;  ///< 0: not given
  std::string protocol;
  std::string pod;

  void declare(Commands& commands, CLI::App& verb);
  [[nodiscard]] std::optional<Prefix> block() const;
  [[nodiscard]] std::optional<std::uint16_t> wanted_port() const;
  [[nodiscard]] std::optional<std::uint8_t> wanted_protocol() const;
};

void add_flow_list(Commands& commands, CLI::App& noun);
void add_flow_watch(Commands& commands, CLI::App& noun);

}  // namespace sluice::cli
