#include "tests/e2e/agent.hpp"

#include <doctest/doctest.h>

#include <system_error>

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

}  // namespace sluice::e2e
