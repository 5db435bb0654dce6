#include "cli/command.hpp"

#include <algorithm>

#include "loader/observe/pod_names.hpp"
#include "maps/address.hpp"
#include "maps/names.hpp"

namespace sluice::cli {

namespace {

struct FormatName {
  const char* name;
  Format format;
};
constexpr FormatName kFormats[] = {
    {"table", Format::kTable}, {"wide", Format::kWide}, {"json", Format::kJson}, {"prometheus", Format::kPrometheus}};

Format format_of(const std::string& name) {
  return std::ranges::find(kFormats, name, [](const FormatName& f) { return std::string(f.name); })->format;
}

std::string footer(const char* examples) { return std::string("Examples:\n") + examples; }

}  // namespace

CLI::App& Commands::noun(const char* name, const char* help) {
  CLI::App& added = *app_.add_subcommand(name, help);
  added.require_subcommand(1);
  added.fallthrough();
  return added;
}

CLI::App& Commands::verb(CLI::App& noun, const char* name, const char* help, const char* examples, Run run) {
  CLI::App& added = *noun.add_subcommand(name, help);
  added.fallthrough();
  added.footer(footer(examples));
  added.callback([this, run = std::move(run)] { chosen_ = run; });
  return added;
}

CLI::App& Commands::verb(const char* name, const char* help, const char* examples, Run run) {
  return verb(app_, name, help, examples, std::move(run));
}

CLI::App& Commands::verb(CLI::App& noun, const char* name, const char* help, const char* examples, Do work) {
  return verb(noun, name, help, examples, Run([work = std::move(work)](const loader::Root& root) -> Result<Status> {
                TRY(work(root));
                return kDone;
              }));
}

CLI::App& Commands::verb(const char* name, const char* help, const char* examples, Do work) {
  return verb(app_, name, help, examples, std::move(work));
}

void Commands::output(CLI::App& verb, Format& format, const std::vector<std::string>& names) {
  std::string list;
  for (const auto& name : names) list += (list.empty() ? "" : name == names.back() ? " or " : ", ") + name;
  CLI::Option* option = verb.add_option_function<std::string>(
      "-o,--output", [&format](const std::string& name) { format = format_of(name); },
      "Form of the output: " + list + " [" + names.front() + "]");
  option->check(CLI::IsMember(names))->type_name("FORM");
  complete(option, [names](const loader::Root&) { return names; });
}

CLI::Validator address_block() {
  return checked_by("ADDRESS[/LENGTH]", [](const std::string& text) { return Prefix::parse(text); });
}

CLI::Validator protocol() {
  return checked_by("PROTOCOL", [](const std::string& text) -> Result<std::uint8_t> {
    if (const auto number = maps::protocol_of(text)) return *number;
    return refuse(EINVAL, "'" + text + "' is not a protocol: tcp, udp, icmp, icmpv6, sctp, or a number from 1 to 255");
  });
}

CLI::Validator pod_name() {
  return checked_by("NAMESPACE/NAME", [](const std::string& text) { return loader::observe::PodName::parse(text); });
}

std::vector<std::string> pod_names(const loader::Root& root) {
  std::vector<std::string> all;
  const auto names = loader::observe::PodNames::read(root);
  if (!names) return all;
  for (const auto& attachment : names->attachments()) all.push_back(loader::observe::display_name(attachment));
  return all;
}

}  // namespace sluice::cli
