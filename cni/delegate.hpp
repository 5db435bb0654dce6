/// Running another plugin (CNI spec 1.1.0, section 4, "Execution of delegated plugins"): the IPAM plugin that a
/// configuration names.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "cni/request.hpp"
#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::cni {

struct Delegate {
  std::string type;    ///< the plugin's file name
  std::string path;    ///< CNI_PATH
  std::string config;  ///< its standard input
  std::string container_id;
  std::string ifname;
  std::string netns;         ///< may be empty for DEL
  const Fd* held = nullptr;  ///< inherited by the plugin: a lock that lasts as long as it works
};

/// The IPAM plugin of `request`, called with the request's own configuration.
Delegate delegate_of(const Request& request, const std::string& type);

/// Where the plugin is. kDelegate: in no folder of CNI_PATH.
Result<std::string> find_plugin(const Delegate& delegate);

/// Runs the plugin with CNI_COMMAND `command` and waits for its end. Null: it answered nothing. A plugin that refuses
/// version 1.1.0 is asked once more in 1.0.0, in which an address looks the same. Errors: the plugin's own code;
/// kDelegate where it cannot be run or understood.
Result<nlohmann::json> run(const Delegate& delegate, const std::string& command);

/// True for the error of a plugin that is older than GC or STATUS, which it was asked for.
bool is_unknown_command(const Error& error);

}  // namespace sluice::cni
