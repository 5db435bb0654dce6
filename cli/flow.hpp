/// What the verbs of `bpfctl flow` share.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cli/command.hpp"
#include "loader/config.hpp"
#include "loader/observe/flows.hpp"
#include "loader/observe/pod_names.hpp"
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
  /// What all of them ask for, of connections that are alive. ENOENT: there is no such pod on this node.
  [[nodiscard]] Result<loader::observe::FlowFilter> filter(const loader::observe::PodNames& names) const;
  [[nodiscard]] std::optional<Prefix> block() const;
  [[nodiscard]] std::optional<std::uint16_t> wanted_port() const;
  [[nodiscard]] std::optional<std::uint8_t> wanted_protocol() const;
};

/// The configured time-outs; where the file is malformed, those that a datapath was loaded with are not known.
loader::Timeouts flow_timeouts(const loader::Root& root);

void add_flow_list(Commands& commands, CLI::App& noun);
void add_flow_watch(Commands& commands, CLI::App& noun);

}  // namespace sluice::cli
