/// How a noun of bpfctl joins in: declares its verbs on the command line, and what each does.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/listing.hpp"
#include "loader/root.hpp"
#include "maps/result.hpp"

namespace sluice::cli {

/// The exit statuses, which the help documents.
enum Status : int {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kNotFound = 3,  ///< an Error with the code ENOENT: a pod, a map, the datapath itself
  kDropped = 4,   ///< bpfctl trace: the packet would be dropped
};

/// The command line as all nouns together declare it. Options of a verb live as long as this.
class Commands {
 public:
  using Run = std::function<Result<Status>(const loader::Root&)>;
  using Words = std::function<std::vector<std::string>(const loader::Root&)>;

  explicit Commands(CLI::App& app) : app_(app) {}
  Commands(const Commands&) = delete;
  Commands& operator=(const Commands&) = delete;

  /// "flow", which is nothing without a verb.
  CLI::App& noun(const char* name, const char* help);
  /// "list" of a noun, or a word of its own ("status"). `examples`: command lines, one in a line, each with what it
  /// does behind it; the first words are the verb's own.
  CLI::App& verb(CLI::App& noun, const char* name, const char* help, const char* examples, Run run);
  CLI::App& verb(const char* name, const char* help, const char* examples, Run run);
  /// One that is done wherever it does not fail.
  using Do = std::function<Result<void>(const loader::Root&)>;
  CLI::App& verb(CLI::App& noun, const char* name, const char* help, const char* examples, Do work);
  CLI::App& verb(const char* name, const char* help, const char* examples, Do work);

  /// -o, with these names of formats; the first is the default.
  void output(CLI::App& verb, Format& format, const std::vector<std::string>& names);
  /// What may stand behind this option or in this place, for the shell's completion.
  void complete(const CLI::Option* option, Words words) { words_[option] = std::move(words); }

  /// Candidates for the last of `line`, the words behind "bpfctl".
  [[nodiscard]] std::vector<std::string> candidates(const loader::Root& root,
                                                    const std::vector<std::string>& line) const;

  /// What the command line that was parsed asks for; has no target before that.
  [[nodiscard]] const Run& chosen() const { return chosen_; }

 private:
  CLI::App& app_;
  Run chosen_;
  std::map<const CLI::Option*, Words> words_;
};

/// Each declares one noun; main.cpp calls them.
void add_status(Commands& commands);
void add_endpoint(Commands& commands);
void add_flow(Commands& commands);
void add_deny(Commands& commands);
void add_drops(Commands& commands);
void add_node(Commands& commands);
void add_route(Commands& commands);
void add_bgp(Commands& commands);
void add_metrics(Commands& commands);
void add_policy(Commands& commands);
void add_service(Commands& commands);
void add_backend(Commands& commands);
void add_nat(Commands& commands);
void add_map(Commands& commands);
void add_prog(Commands& commands);
void add_feature(Commands& commands);
void add_trace(Commands& commands);
void add_version(Commands& commands);
void add_completion(Commands& commands);

/// A check whose refusal is the parser's own sentence.
template <typename Parse>
CLI::Validator checked_by(const char* type, Parse parse) {
  return CLI::Validator(
      [parse](const std::string& text) {
        const auto value = parse(text);
        return value ? std::string() : value.error().message;
      },
      type);
}

/// Options that several nouns have, with their checks.
CLI::Validator address_block();
CLI::Validator protocol();
CLI::Validator pod_name();
/// The names of this node's pods, for completion.
std::vector<std::string> pod_names(const loader::Root& root);

}  // namespace sluice::cli
