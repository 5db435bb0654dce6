/// What the verbs of `bpfctl service`, and others that speak of Services, share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "loader/observe/pod_names.hpp"
#include "loader/observe/services.hpp"
#include "maps/result.hpp"

namespace sluice::cli {

/// The words for the numbers of Services.
class ServiceWords {
 public:
  /// Knows none.
  ServiceWords() = default;
  /// Those that the agent has written down. Without them numbers have to do, and no word of that.
  explicit ServiceWords(const loader::Root& root);
  /// The same; a line on standard error says why there are none.
  static ServiceWords or_say_why(const loader::Root& root);

  [[nodiscard]] bool knows(std::uint32_t number) const;
  /// "default/web", "host port", "number 7" where nobody says more; empty for 0.
  [[nodiscard]] std::string of(std::uint32_t number) const;
  /// Null: not known.
  [[nodiscard]] const loader::state::service::ServiceRecord* find(std::uint32_t number) const;
  /// The Services that have this name, or number, or address. ENOENT: none has, with a sentence.
  [[nodiscard]] Result<std::vector<std::uint32_t>> meant_by(const std::string& text,
                                                            const loader::observe::ServiceMaps& maps) const;

 private:
  std::optional<loader::observe::ServiceNames> names_;
};

/// The name of the Service's port, else its index: "http", "port 0".
std::string service_port_text(const loader::state::service::ServiceRecord* record, std::uint32_t index);
/// "50.0 %"
Cell share_cell(double share);

/// The names of Services, for completion.
std::vector<std::string> service_names(const loader::Root& root);

void add_service_list(Commands& commands, CLI::App& noun);
void add_service_explain(Commands& commands, CLI::App& noun);

}  // namespace sluice::cli
