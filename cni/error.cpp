#include "cni/error.hpp"

#include <cerrno>
#include <nlohmann/json.hpp>

namespace sluice::cni {

namespace {

// Error::code holds an errno, all of which are below, or a code of the CNI spec above this.
constexpr int kFirstCode = 0x10000;

/// What the number means and what helps: the error's `details`.
const char* advice(int code) {
  switch (static_cast<Code>(code)) {
    case Code::kIncompatibleVersion:
      return "The configuration's cniVersion must be one that the plugin lists in its answer to VERSION.";
    case Code::kUnsupportedField:
      return "Remove the field from the network configuration.";
    case Code::kUnknownContainer:
      return "The container's network is not there, and nothing has to be cleaned up.";
    case Code::kBadEnvironment:
      return "The runtime called the plugin with missing or malformed environment variables.";
    case Code::kIo:
      return "A file or a stream could not be read or written.";
    case Code::kDecoding:
      return "The network configuration on standard input is not a JSON object with a cniVersion.";
    case Code::kBadConfig:
      return "Correct the network configuration; nothing has been changed.";
    case Code::kTryAgain:
      return "Another process is working on this; the same call succeeds later.";
    case Code::kUnavailable:
      return "The plugin cannot attach pods now; those that are attached are not affected.";
    case Code::kUnavailableLimited:
      return "The plugin cannot attach pods now, and those that are attached may be cut off.";
    case Code::kNoAddress:
      return "Every address of the pod CIDRs is in use; GC gives back those of containers that are gone.";
    case Code::kAddressTaken:
      return "Ask for another address, or for none.";
    case Code::kCheckFailed:
      return "The attachment is not as ADD made it; DEL and ADD make it anew.";
    case Code::kDatapath:
      return "Sluice's programs or maps are not usable; 'bpfctl status' tells more.";
    case Code::kNetwork:
      return "The kernel refused a change of interfaces, addresses or routes; what had been changed was undone.";
    case Code::kAttached:
      return "The interface is attached already; DEL comes before another ADD.";
    case Code::kForeignInterface:
      return "Put Sluice first in the plugin list, or after a plugin that makes a routed veth pair, such as ptp.";
    case Code::kDelegate:
      return "The IPAM plugin that the configuration names did not do its part.";
    case Code::kPortTaken:
      return "Ask for another host port, or wait until the one who has it is gone; 'bpfctl service list' shows who.";
  }
  return "The IPAM plugin that the configuration names reported this.";
}

}  // namespace

Error failure(Code code, std::string message) { return failure(static_cast<int>(code), std::move(message)); }

Error failure(int code, std::string message) { return refuse(kFirstCode + code, std::move(message)); }

int code_of(const Error& error) {
  return error.code >= kFirstCode ? error.code - kFirstCode : static_cast<int>(Code::kIo);
}

Error with_code(Code code, const Error& error) {
  if (error.code >= kFirstCode) return error;
  const bool again = error.code == EAGAIN || error.code == ETIMEDOUT;
  return failure(again ? Code::kTryAgain : code, error.message);
}

nlohmann::json error_object(const Error& error, const std::string& version) {
  const int code = code_of(error);
  return {{"cniVersion", version}, {"code", code}, {"msg", error.message}, {"details", advice(code)}};
}

}  // namespace sluice::cni
