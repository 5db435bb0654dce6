/// bpfctl deny: sources from which no uplink lets anything in.
#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "cli/command.hpp"
#include "loader/program/deny.hpp"

namespace sluice::cli {

namespace {

using loader::Root;
namespace program = loader::program;

constexpr const char* kAddExamples =
    R"(  bpfctl deny add 203.0.113.0/24             from the next packet on
  bpfctl deny add 203.0.113.7 2001:db8::/32  several at once

The list is a file, /etc/sluice/deny.list: one block in a line, # begins a comment. It may be edited by hand; sluiced
follows it within ten seconds. Packets from these blocks are dropped where they come in by an uplink, whomever they
are for: `bpfctl drops` counts them as DENIED_SOURCE.)";

constexpr const char* kDeleteExamples =
    R"(  bpfctl deny delete 203.0.113.0/24          the block as it was added, not a part of it)";

constexpr const char* kListExamples =
    R"(  bpfctl deny list                           the blocks, and whether they are in force
  bpfctl deny list -o json | jq -r '.[] | select(.inForce | not) | .block')";

struct Options {
  std::vector<std::string> blocks;
  Format format = Format::kTable;
};

Result<std::vector<Prefix>> parsed(const std::vector<std::string>& texts) {
  std::vector<Prefix> blocks;
  for (const std::string& text : texts) blocks.push_back(TRY(Prefix::parse(text)));
  return blocks;
}

/// The list is a file: without a datapath it waits for one.
Result<void> bring_into_force(const Root& root) {
  auto applied = program::apply_deny_list(root);
  if (applied.failed_with(ENOENT)) {
    fmt::print(stderr, "bpfctl: no datapath is loaded: the list is in force once it is\n");
    return {};
  }
  TRY(std::move(applied));
  return {};
}

Result<void> add(const Root& root, const Options& options) {
  const auto added = TRY(program::add_to_deny_list(root, TRY(parsed(options.blocks))));
  TRY(bring_into_force(root));
  fmt::print("{} added\n", added);
  return {};
}

Result<void> remove(const Root& root, const Options& options) {
  const auto blocks = TRY(parsed(options.blocks));
  const auto deleted = TRY(program::delete_from_deny_list(root, blocks));
  TRY(bring_into_force(root));
  if (deleted == 0) return refuse(ENOENT, "not in the list: `bpfctl deny list` shows the blocks as they were added");
  fmt::print("{} deleted\n", deleted);
  return {};
}

Result<void> list(const Root& root, const Options& options) {
  const auto wanted = TRY(program::read_deny_list(root));
  const auto denied = program::denied_blocks(root);
  if (!denied && !denied.failed_with(ENOENT)) return denied.error();
  const std::vector<Prefix> in_force = denied ? *denied : std::vector<Prefix>();
  Listing listing({{"block", "BLOCK"}, {"inForce", "IN FORCE"}});
  const auto show = [&](const Prefix& block, bool yes) {
    listing.add({block.text(), Cell(yes ? "yes" : "no: `sluiced load`, or sluiced, takes the file over", yes)});
  };
  for (const Prefix& block : wanted) show(block, std::ranges::find(in_force, block) != in_force.end());
  for (const Prefix& block : in_force)
    if (std::ranges::find(wanted, block) == wanted.end())
      listing.add({block.text(), Cell("yes, and no longer in the file", true)});
  listing.print(options.format);
  return {};
}

std::vector<std::string> listed(const Root& root) {
  std::vector<std::string> texts;
  if (const auto blocks = program::read_deny_list(root))
    for (const Prefix& block : *blocks) texts.push_back(block.text());
  return texts;
}

}  // namespace

void add_deny(Commands& commands) {
  CLI::App& noun = commands.noun("deny", "Sources from which no uplink lets anything in");
  auto options = std::make_shared<Options>();
  CLI::App& adding = commands.verb(noun, "add", "Deny blocks of addresses", kAddExamples,
                                   [options](const Root& root) { return add(root, *options); });
  adding.add_option("BLOCK", options->blocks, "An address, or a block such as 203.0.113.0/24")
      ->required()
      ->check(address_block());
  CLI::App& deleting = commands.verb(noun, "delete", "Deny blocks no more", kDeleteExamples,
                                     [options](const Root& root) { return remove(root, *options); });
  CLI::Option* gone = deleting.add_option("BLOCK", options->blocks, "As `bpfctl deny list` shows it");
  gone->required()->check(address_block());
  commands.complete(gone, listed);
  CLI::App& listing = commands.verb(noun, "list", "List the denied blocks", kListExamples,
                                    [options](const Root& root) { return list(root, *options); });
  commands.output(listing, options->format, {"table", "json"});
}

}  // namespace sluice::cli
