/// bpfctl completion: scripts for shells. They ask `bpfctl complete`, which knows the command line as it is declared,
/// so that a new verb needs nothing here.
#include <algorithm>
#include <memory>

#include "cli/command.hpp"

namespace sluice::cli {

namespace {

using loader::Root;

constexpr const char* kBash = R"(# bash completion of bpfctl; made by `bpfctl completion bash`
_bpfctl() {
  local line=("${COMP_WORDS[@]:1:COMP_CWORD}")
  mapfile -t COMPREPLY < <(bpfctl complete -- "${line[@]}" 2>/dev/null)
}
complete -F _bpfctl bpfctl
)";

constexpr const char* kZsh = R"(#compdef bpfctl
# zsh completion of bpfctl; made by `bpfctl completion zsh`
_bpfctl() {
  local -a candidates
  candidates=("${(@f)$(bpfctl complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -a candidates
}
if [ "$funcstack[1]" = _bpfctl ]; then _bpfctl "$@"; else compdef _bpfctl bpfctl; fi
)";

constexpr const char* kExamples =
    R"(  source <(bpfctl completion bash)                                    for this shell
  bpfctl completion bash > /etc/bash_completion.d/bpfctl              for all
  bpfctl completion zsh > /usr/share/zsh/vendor-completions/_bpfctl)";

CLI::App* subcommand(const CLI::App& app, const std::string& name) {
  for (CLI::App* sub : const_cast<CLI::App&>(app).get_subcommands({}))
    if (sub->get_name() == name) return sub;
  return nullptr;
}

/// The option that `word` names, of the verb or of those above it; nullptr: there is none, or it takes no value.
const CLI::Option* option_with_value(const CLI::App& app, const std::string& word) {
  for (const CLI::App* at = &app; at != nullptr; at = at->get_parent())
    for (const CLI::Option* option : at->get_options({}))
      if (!option->get_positional() && option->get_items_expected_max() > 0 && option->check_name(word)) return option;
  return nullptr;
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> all;
  for (const CLI::App* at = &app; at != nullptr; at = at->get_parent())
    for (const CLI::Option* option : at->get_options({}))
      for (const auto& name : option->get_lnames()) all.push_back("--" + name);
  return all;
}

std::vector<std::string> those_that_start(std::vector<std::string> all, const std::string& with) {
  std::erase_if(all, [&](const std::string& word) { return !word.starts_with(with); });
  std::ranges::sort(all);
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

}  // namespace

std::vector<std::string> Commands::candidates(const Root& root, const std::vector<std::string>& line) const {
  const CLI::App* at = &app_;
  const CLI::Option* awaits = nullptr;  // a value for this one comes next
  Root where = root;
  std::size_t positionals = 0;
  for (std::size_t i = 0; i + 1 < line.size(); i++) {
    if (awaits != nullptr) {
      if (awaits->check_lname("root")) where = Root(line[i]);
      awaits = nullptr;
    } else if (line[i].starts_with("-")) {
      awaits = option_with_value(*at, line[i]);
    } else if (const CLI::App* next = subcommand(*at, line[i])) {
      at = next;
    } else {
      positionals++;
    }
  }
  const std::string last = line.empty() ? "" : line.back();
  const auto words_of = [&](const CLI::Option* option) {
    const auto found = words_.find(option);
    return found != words_.end() ? found->second(where) : std::vector<std::string>();
  };
  if (awaits != nullptr) return those_that_start(words_of(awaits), last);
  if (last.starts_with("-")) return those_that_start(option_names(*at), last);
  std::vector<std::string> all;
  for (const CLI::App* sub : const_cast<CLI::App*>(at)->get_subcommands({}))
    if (!sub->get_group().empty()) all.push_back(sub->get_name());
  for (const CLI::Option* option : at->get_options({}))
    if (option->get_positional() && positionals-- == 0)
      for (auto& word : words_of(option)) all.push_back(std::move(word));
  return those_that_start(std::move(all), last);
}

void add_completion(Commands& commands) {
  CLI::App& noun = commands.noun("completion", "Completion scripts for shells");
  const auto script = [&](const char* shell, const char* help, const char* text) {
    commands.verb(noun, shell, help, kExamples, [text](const Root&) -> Result<void> {
      fmt::print("{}", text);
      return {};
    });
  };
  script("bash", "Print the script for bash", kBash);
  script("zsh", "Print the script for zsh", kZsh);

  auto line = std::make_shared<std::vector<std::string>>();
  CLI::App& ask = commands.verb("complete", "What may stand in place of the last word; the scripts ask this",
                                "  bpfctl complete -- flow l", [&commands, line](const Root& root) -> Result<void> {
                                  for (const auto& word : commands.candidates(root, *line)) fmt::print("{}\n", word);
                                  return {};
                                });
  ask.group("");  // not in the help
  ask.add_option("WORD", *line, "The words behind bpfctl, after --");
}

}  // namespace sluice::cli
