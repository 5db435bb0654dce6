#include "tests/e2e/agent.hpp"

#include <doctest/doctest.h>

#include <system_error>

#include "tests/e2e/socket.hpp"

namespace sluice::e2e {

void Agent::start() {
  std::error_code error;
  std::filesystem::remove(status_file(), error);
  process_.emplace(Command{binary("sluice-lab").string(), "--name", cluster_.name(), "node", node_, "--",
                           binary("sluiced").string()});
  const bool ready = within(std::chrono::seconds(20), [&] { return std::filesystem::exists(status_file()); });
  REQUIRE_MESSAGE(ready, "sluiced did not come up on ", node_);
}

void Agent::stop(int signal) {
  process_->signal(signal);
  process_->wait();
  process_.reset();
}

std::string page(const Place& node, const Address& address, std::uint16_t port, const std::string& path) {
  const auto socket = Socket::tcp_connected(node.netns, address, port);
  if (!socket) return socket.error().message;
  if (auto sent = socket->send("GET " + path + " HTTP/1.0\r\n\r\n"); !sent) return sent.error().message;
  std::string answer;
  while (auto more = socket->read(1)) answer += *more;
  return answer;
}

}  // namespace sluice::e2e
