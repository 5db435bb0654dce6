/// What the verbs of `bpfctl policy` share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "loader/observe/policies.hpp"
#include "loader/observe/policy_words.hpp"

namespace sluice::cli {

/// The words for the numbers of policy. nullopt, and a line on standard error that says why: numbers have to do.
std::optional<loader::observe::PolicyWords> policy_words(const loader::Root& root);

/// "isolates, audit, reject"
std::string policy_flags_text(std::uint32_t flags);
/// "a, b, c", or the first few of them "and 12 more".
std::string some_of(const std::vector<std::string>& words);

void add_policy_check(Commands& commands, CLI::App& noun);
void add_policy_list(Commands& commands, CLI::App& noun);
void add_policy_usage(Commands& commands, CLI::App& noun);

}  // namespace sluice::cli
