/// The errors that a CNI plugin answers with (CNI spec 1.1.0, section 5, "Error"): a code that the runtime branches on,
/// and sentences for people. Inside the plugin they travel as sluice::Error like any other.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "maps/result.hpp"

namespace sluice::cni {

enum class Code : int {
  kIncompatibleVersion = 1,
  kUnsupportedField = 2,
  kUnknownContainer = 3,  ///< nothing was made, the runtime need not clean up
  kBadEnvironment = 4,    ///< the message names the variables
  kIo = 5,
  kDecoding = 6,
  kBadConfig = 7,
  kTryAgain = 11,
  kUnavailable = 50,         ///< STATUS: an ADD would fail
  kUnavailableLimited = 51,  ///< STATUS: so would it, and the pods that are there may be cut off

  // Sluice's own.
  kNoAddress = 100,         ///< no address is free
  kAddressTaken = 101,      ///< the address that was asked for cannot be given
  kCheckFailed = 102,       ///< CHECK: the attachment is not what ADD made
  kDatapath = 103,          ///< programs or maps
  kNetwork = 104,           ///< the kernel refused an interface, an address or a route
  kAttached = 105,          ///< ADD of what is attached already
  kForeignInterface = 106,  ///< an earlier plugin made an interface that Sluice cannot serve
  kDelegate = 107,          ///< the IPAM plugin could not be run, or answered nonsense
  kPortTaken = 108,         ///< a host port that was asked for is another pod's, or a Service's
};

/// An error that the runtime is told as `code`. `message` is the sentence from the task to the cause.
[[nodiscard]] Error failure(Code code, std::string message);
/// The same for a number that another plugin gave.
[[nodiscard]] Error failure(int code, std::string message);

/// The number that the runtime is told: that of failure(), and kIo for an error that has only an errno.
[[nodiscard]] int code_of(const Error& error);

/// `error` told to the runtime as `code`, unless it has a code already. One that says to try again (EAGAIN, ETIMEDOUT)
/// is told as kTryAgain.
[[nodiscard]] Error with_code(Code code, const Error& error);

template <typename T>
Result<T> as(Code code, Result<T> result) {
  if (result) return result;
  return with_code(code, result.error());
}

/// The error object for stdout. `version`: that of the request.
[[nodiscard]] nlohmann::json error_object(const Error& error, const std::string& version);

}  // namespace sluice::cni
