/// bpfctl version: of this program, and of the datapath that is loaded.
#include <cerrno>
#include <memory>

#include "cli/command.hpp"
#include "loader/program/features.hpp"
#include "loader/program/lifecycle.hpp"
#include "maps/layout.h"

namespace sluice::cli {

namespace {

using loader::Root;

constexpr const char* kExamples = R"(  bpfctl version                 also where no datapath is loaded
  bpfctl version -o json | jq -r .datapath)";

Result<void> show(const Root& root, Format format) {
  const auto record = loader::program::load_record(root);
  if (!record && !record.failed_with(ENOENT)) return record.error();
  Details details;
  details.add({"bpfctl", "bpfctl"}, SLUICE_VERSION);
  details.add({"layout", "Layout of maps"}, SLUICE_LAYOUT_VERSION);
  details.add({"datapath", "Datapath"}, record ? Cell(record->version) : Cell("not loaded", nullptr));
  details.add({"kernel", "Kernel"}, loader::program::kernel_release());
  if (format == Format::kJson)
    print_json(details.json());
  else
    fmt::print("{}", details.text());
  return {};
}

}  // namespace

void add_version(Commands& commands) {
  auto format = std::make_shared<Format>(Format::kTable);
  CLI::App& verb = commands.verb("version", "Show the versions of bpfctl, the loaded datapath and the kernel",
                                 kExamples, [format](const Root& root) { return show(root, *format); });
  commands.output(verb, *format, {"table", "json"});
}

}  // namespace sluice::cli
