/// What the runtime asks: the environment and the configuration on standard input (CNI spec 1.1.0, section 2), read and
/// checked before anything is changed.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "maps/result.hpp"

namespace sluice::cni {

enum class Command { kAdd, kDel, kCheck, kGc, kStatus, kVersion };

/// The configuration versions that are answered, oldest first.
inline constexpr const char* kVersions[] = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};
inline constexpr const char* kNewestVersion = "1.1.0";

/// True when `version` is `other` or newer. Both are of kVersions.
bool at_least(std::string_view version, std::string_view other);

using Environment = std::map<std::string, std::string>;

struct Request {
  Command command = Command::kVersion;
  std::string container_id;
  std::string netns;  ///< a path; may be empty for DEL
  std::string ifname;
  std::string path;                         ///< CNI_PATH
  std::map<std::string, std::string> args;  ///< CNI_ARGS
  nlohmann::json config;
  std::string version;  ///< the configuration's cniVersion, one of kVersions; for VERSION whatever was asked
  std::string network;  ///< the configuration's name

  /// Errors: kBadEnvironment, kDecoding, kIncompatibleVersion (also for a command that the version does not have),
  /// kBadConfig for the name.
  static Result<Request> read(const Environment& environment, const std::string& input);

  /// K8S_POD_NAMESPACE, K8S_POD_NAME and IP of CNI_ARGS, empty where there are none.
  [[nodiscard]] std::string pod_namespace() const { return arg("K8S_POD_NAMESPACE"); }
  [[nodiscard]] std::string pod_name() const { return arg("K8S_POD_NAME"); }
  [[nodiscard]] std::string wanted_ips() const { return arg("IP"); }

 private:
  [[nodiscard]] std::string arg(const std::string& key) const;
};

/// The cniVersion that an answer to `input` carries, however broken the rest of it is.
std::string version_asked(const std::string& input);

/// True for a name as the spec has it for networks and containers: alphanumeric, then also '_', '.', '-'.
bool is_identifier(std::string_view text);

}  // namespace sluice::cni
