/// bpfctl feature: what the kernel can do of what Sluice uses.
#include <cerrno>
#include <memory>

#include "cli/command.hpp"
#include "loader/program/features.hpp"

namespace sluice::cli {

namespace {

using loader::Root;

constexpr const char* kExamples = R"(  bpfctl feature probe           asks the kernel by trying; needs no datapath
  bpfctl feature probe -o json | jq '.[] | select(.present | not)'

Exit status 1: a feature is missing that Sluice cannot do without.)";

Result<void> probe(Format format) {
  Listing listing({{"name", "FEATURE"},
                   {"present", "PRESENT"},
                   {"required", "REQUIRED"},
                   {"use", "USED FOR"},
                   {"without", "WITHOUT IT"}});
  std::string missing;
  for (const auto& feature : TRY(loader::program::probe_features())) {
    listing.add({feature.name, feature.present, feature.required, feature.use, feature.without});
    if (feature.required && !feature.present) missing += (missing.empty() ? "" : ", ") + feature.name;
  }
  listing.print(format);
  if (missing.empty()) return {};
  return refuse(EOPNOTSUPP, "kernel " + loader::program::kernel_release() + " lacks " + missing +
                                ": Sluice needs Linux 6.1 or newer");
}

}  // namespace

void add_feature(Commands& commands) {
  CLI::App& noun = commands.noun("feature", "What the kernel can do");
  auto format = std::make_shared<Format>(Format::kTable);
  CLI::App& verb = commands.verb(noun, "probe", "Ask the kernel for each feature that Sluice uses", kExamples,
                                 [format](const Root&) { return probe(*format); });
  commands.output(verb, *format, {"table", "json"});
}

}  // namespace sluice::cli
