/// Small HTTP servers (libmicrohttpd), all on one thread of their own: neither a slow reader nor a long answer holds up
/// the agent's work on objects.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "loader/config.hpp"
#include "maps/result.hpp"

namespace sluice::loader::agent {

struct HttpAnswer {
  unsigned status = 200;
  std::string type = "text/plain; version=0.0.4";  ///< Content-Type
  std::string body;
  std::map<std::string, std::string> headers;
};

/// Called on the servers' thread.
using HttpPage = std::function<HttpAnswer()>;
/// By path. The page "" answers every path that has none; without it they are 404.
using HttpPages = std::map<std::string, HttpPage>;

class HttpServers {
 public:
  /// No server yet; the thread runs. Signals that the caller has blocked stay blocked in it.
  static Result<HttpServers> open();
  HttpServers(HttpServers&&) noexcept;
  HttpServers& operator=(HttpServers&&) noexcept;
  /// Closes all of them.
  ~HttpServers();

  /// Answers GET and HEAD at this address; the unspecified IPv6 address is all of both families. `name` tells servers
  /// apart: one that has it is closed before. EADDRINUSE: somebody else has the port.
  Result<void> serve(const std::string& name, const SocketAddress& where, HttpPages pages);
  /// Nothing happens where there is none.
  void stop(const std::string& name);

 private:
  struct State;
  explicit HttpServers(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace sluice::loader::agent
