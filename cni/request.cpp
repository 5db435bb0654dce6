#include "cni/request.hpp"

#include <net/if.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "cni/error.hpp"

namespace sluice::cni {

namespace {

// A container id is part of a file name of at most 255 bytes, beside the interface's; a network's name is read back
// from the target of a symbolic link, beside both.
constexpr std::size_t kLongestName = 200;
// Far more than any configuration has, and few enough for those who go through it level by level.
constexpr int kDeepestNesting = 64;

struct CommandRow {
  const char* name;
  Command command;
  const char* since;  ///< the configuration version that introduced it
  std::vector<const char*> required;
};

// CNI spec 1.1.0, section 2, "CNI operations": what each operation needs in the environment.
const std::vector<CommandRow>& commands() {
  static const std::vector<CommandRow> rows = {
      {"ADD", Command::kAdd, "0.3.0", {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}},
      {"DEL", Command::kDel, "0.3.0", {"CNI_CONTAINERID", "CNI_IFNAME"}},
      {"CHECK", Command::kCheck, "0.4.0", {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}},
      {"GC", Command::kGc, "1.1.0", {"CNI_PATH"}},
      {"STATUS", Command::kStatus, "1.1.0", {}},
      {"VERSION", Command::kVersion, "0.3.0", {}},
  };
  return rows;
}

std::string variable(const Environment& environment, const std::string& name) {
  const auto found = environment.find(name);
  return found != environment.end() ? found->second : "";
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

bool is_alphanumeric(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

/// What the kernel and the spec allow as an interface's name; nullptr: nothing is wrong with it.
const char* ifname_fault(const std::string& name) {
  if (name.size() >= IFNAMSIZ) return "is longer than 15 characters";
  if (name == "." || name == "..") return "is not a name";
  // '%': the kernel would put a number in its place. What is not ASCII is no text that a result could carry.
  const bool bad = std::any_of(name.begin(), name.end(), [](unsigned char c) {
    return c == '/' || c == ':' || c == '%' || c > 0x7e || std::isspace(c) != 0 || std::iscntrl(c) != 0;
  });
  return bad ? "has a character that interface names may not have" : nullptr;
}

/// "A=1;B=2". nullopt: a part is no pair.
std::optional<std::map<std::string, std::string>> parse_args(std::string_view text) {
  std::map<std::string, std::string> args;
  while (!text.empty()) {
    const auto pair = text.substr(0, text.find(';'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    if (equals == 0 || equals == std::string_view::npos) return std::nullopt;
    args[std::string(pair.substr(0, equals))] = pair.substr(equals + 1);
  }
  return args;
}

Result<const CommandRow*> find_command(const Environment& environment) {
  const auto name = variable(environment, "CNI_COMMAND");
  for (const auto& row : commands()) {
    if (name == row.name) return &row;
  }
  if (name.empty()) return failure(Code::kBadEnvironment, "CNI_COMMAND is missing");
  return failure(Code::kBadEnvironment, "CNI_COMMAND: there is no command '" + name + "'");
}

Result<void> check_environment(const CommandRow& row, const Environment& environment) {
  std::vector<std::string> missing;
  for (const char* name : row.required) {
    if (variable(environment, name).empty()) missing.emplace_back(name);
  }
  if (!missing.empty()) {
    return failure(Code::kBadEnvironment, std::string(row.name) + " needs in the environment: " + joined(missing));
  }

  std::vector<std::string> faults;
  const auto id = variable(environment, "CNI_CONTAINERID");
  if (!id.empty() && !is_identifier(id)) {
    faults.emplace_back("CNI_CONTAINERID is not alphanumeric, then also '_', '.', '-'");
  } else if (id.size() > kLongestName) {
    faults.emplace_back("CNI_CONTAINERID is longer than " + std::to_string(kLongestName) + " characters");
  }
  if (const char* fault = ifname_fault(variable(environment, "CNI_IFNAME"))) {
    faults.emplace_back(std::string("CNI_IFNAME ") + fault);
  }
  if (!parse_args(variable(environment, "CNI_ARGS"))) faults.emplace_back("CNI_ARGS is not of the form A=1;B=2");
  if (!faults.empty()) return failure(Code::kBadEnvironment, joined(faults));
  return {};
}

Result<void> check_version(const CommandRow& row, const nlohmann::json& config) {
  const auto found = config.find("cniVersion");
  // Without the key a configuration is of version 0.1.0 (CNI spec 0.1.0 knew no key).
  if (found == config.end()) {
    return failure(Code::kIncompatibleVersion, "the configuration has no cniVersion, which means version 0.1.0");
  }
  const auto version = found->get<std::string>();
  if (std::find(std::begin(kVersions), std::end(kVersions), version) == std::end(kVersions)) {
    return failure(Code::kIncompatibleVersion,
                   "the configuration's cniVersion '" + version + "' is none of 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0");
  }
  if (!at_least(version, row.since)) {
    return failure(Code::kIncompatibleVersion,
                   std::string("cniVersion ") + version + " has no " + row.name + ", which came with " + row.since);
  }
  return {};
}

/// "1.1.0", "1.1.0-rc1": numbers and dots first.
bool looks_like_version(const std::string& text) {
  return !text.empty() && std::isdigit(static_cast<unsigned char>(text[0])) != 0 &&
         std::count(text.begin(), text.end(), '.') >= 2;
}

/// The text as JSON, discarded where it is none; what lies deeper than kDeepestNesting is left out.
nlohmann::json parse_json(const std::string& text, bool& too_deep) {
  const auto keep = [&](int depth, nlohmann::json::parse_event_t, const nlohmann::json&) {
    too_deep = too_deep || depth > kDeepestNesting;
    return depth <= kDeepestNesting;
  };
  return nlohmann::json::parse(text, keep, false);
}

Result<nlohmann::json> decode(const std::string& input) {
  bool too_deep = false;
  auto config = parse_json(input, too_deep);
  if (too_deep) return failure(Code::kDecoding, "the network configuration is nested too deep");
  if (config.is_discarded()) return failure(Code::kDecoding, "the network configuration is not JSON");
  if (!config.is_object()) return failure(Code::kDecoding, "the network configuration is not a JSON object");
  if (const auto version = config.find("cniVersion"); version != config.end()) {
    if (!version->is_string() || !looks_like_version(version->get<std::string>())) {
      return failure(Code::kDecoding,
                     "cniVersion " + version->dump().substr(0, 100) + " is not a version such as \"1.1.0\"");
    }
  }
  return config;
}

Result<std::string> check_name(const nlohmann::json& config) {
  const auto name = config.find("name");
  if (name == config.end()) return failure(Code::kBadConfig, "name: is missing");
  if (!name->is_string() || !is_identifier(name->get<std::string>())) {
    return failure(Code::kBadConfig, "name: must be alphanumeric, then also '_', '.', '-'; it is " +
                                         name->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  if (name->get<std::string>().size() > kLongestName) {
    return failure(Code::kBadConfig, "name: is longer than " + std::to_string(kLongestName) + " characters");
  }
  return name->get<std::string>();
}

}  // namespace

bool at_least(std::string_view version, std::string_view other) {
  const auto position = [](std::string_view text) {
    return std::find(std::begin(kVersions), std::end(kVersions), text) - std::begin(kVersions);
  };
  return position(version) >= position(other);
}

bool is_identifier(std::string_view text) {
  return !text.empty() && is_alphanumeric(text[0]) && std::all_of(text.begin(), text.end(), [](char c) {
    return is_alphanumeric(c) || c == '_' || c == '.' || c == '-';
  });
}

Result<Request> Request::read(const Environment& environment, const std::string& input) {
  const CommandRow& row = *TRY(find_command(environment));
  TRY(check_environment(row, environment));

  Request request;
  request.command = row.command;
  request.version = version_asked(input);
  if (row.command == Command::kVersion && input.find_first_not_of(" \t\r\n") == std::string::npos) return request;
  request.config = TRY(decode(input));
  if (row.command == Command::kVersion) return request;

  TRY(check_version(row, request.config));
  request.network = TRY(check_name(request.config));
  request.container_id = variable(environment, "CNI_CONTAINERID");
  request.netns = variable(environment, "CNI_NETNS");
  request.ifname = variable(environment, "CNI_IFNAME");
  request.path = variable(environment, "CNI_PATH");
  request.args = *parse_args(variable(environment, "CNI_ARGS"));
  return request;
}

std::string Request::arg(const std::string& key) const {
  const auto found = args.find(key);
  return found != args.end() ? found->second : "";
}

std::string version_asked(const std::string& input) {
  bool too_deep = false;
  const auto config = parse_json(input, too_deep);
  if (!config.is_object()) return kNewestVersion;
  const auto version = config.find("cniVersion");
  return version != config.end() && version->is_string() ? version->get<std::string>() : kNewestVersion;
}

}  // namespace sluice::cni
