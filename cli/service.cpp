/// bpfctl service: Services as they are in force on this node.
#include "cli/service.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace sluice::cli {

namespace {

using loader::Root;
namespace observe = loader::observe;

std::optional<std::uint32_t> number_in(const std::string& text) {
  std::uint32_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && rest == end ? std::optional(number) : std::nullopt;
}

}  // namespace

ServiceWords::ServiceWords(const Root& root) {
  if (auto names = observe::ServiceNames::read(root)) names_ = *std::move(names);
}

ServiceWords ServiceWords::or_say_why(const Root& root) {
  ServiceWords words;
  auto names = observe::ServiceNames::read(root);
  if (names) {
    words.names_ = *std::move(names);
    return words;
  }
  fmt::print(stderr, "bpfctl: Services have numbers only, as the maps know them: {}\n",
             names.failed_with(ENOENT) ? "no sluiced has written services.json here since the node was booted"
                                       : names.error().message);
  return words;
}

bool ServiceWords::knows(std::uint32_t number) const { return find(number) != nullptr; }

const loader::state::service::ServiceRecord* ServiceWords::find(std::uint32_t number) const {
  return names_ ? names_->find(number) : nullptr;
}

std::string ServiceWords::of(std::uint32_t number) const {
  if (number == 0) return "";
  if ((number & HOST_PORT_SERVICE) != 0) return "host port";
  const auto* known = find(number);
  return known != nullptr ? known->service : fmt::format("number {}", number);
}

Result<std::vector<std::uint32_t>> ServiceWords::meant_by(const std::string& text,
                                                          const observe::ServiceMaps& maps) const {
  std::vector<std::uint32_t> found;
  const auto add = [&](std::uint32_t number) {
    if (std::ranges::find(found, number) == found.end()) found.push_back(number);
  };
  const auto address = Address::parse(text);
  const auto number = number_in(text);
  const auto name = observe::PodName::parse(text);
  const auto* record = names_ && name ? names_->find(name->text()) : nullptr;
  for (const auto& frontend : maps.frontends)
    if ((address && frontend.end.address == *address) || (number && frontend.service == *number) ||
        (record != nullptr && frontend.service == record->number))
      add(frontend.service);
  if (found.empty())
    return refuse(ENOENT, "no Service " + text +
                              " in force here: `bpfctl service list` shows those that are (NAMESPACE/NAME, an address, "
                              "or a number)");
  return found;
}

std::string service_port_text(const loader::state::service::ServiceRecord* record, std::uint32_t index) {
  if (record != nullptr && index < record->ports.size()) return record->ports[index];
  return fmt::format("port {}", index);
}

Cell share_cell(double share) { return {fmt::format("{:.1f} %", 100 * share), share}; }

std::vector<std::string> service_names(const Root& root) {
  std::vector<std::string> all;
  if (const auto names = observe::ServiceNames::read(root))
    for (const auto& one : names->record().services) all.push_back(one.service);
  return all;
}

void add_service(Commands& commands) {
  CLI::App& noun = commands.noun("service", "Services as they are in force on this node");
  add_service_list(commands, noun);
  add_service_explain(commands, noun);
}

}  // namespace sluice::cli
