/// The agent of a lab's node.
#pragma once

#include <optional>
#include <string>

#include "tests/e2e/cluster.hpp"
#include "tests/e2e/process.hpp"

namespace sluice::e2e {

/// sluiced, as a process of the test's own on the node; ready when the constructor returns.
class Agent {
 public:
  Agent(const Cluster& cluster, std::string node) : cluster_(cluster), node_(std::move(node)) { start(); }

  /// Waits until its first look at the objects is over.
  void start();
  void signal(int number) { process_->signal(number); }
  /// Ends it by a signal and waits for the end.
  void stop(int signal);
  void restart(int signal) {
    stop(signal);
    start();
  }

 private:
  [[nodiscard]] std::filesystem::path status_file() const { return cluster_.root(node_).run() / "agent.json"; }

  const Cluster& cluster_;
  std::string node_;
  std::optional<Process> process_;
};

/// What a GET of this page answers, its head included; what went wrong where nobody does.
std::string page(const Place& node, const Address& address, std::uint16_t port, const std::string& path);

}  // namespace sluice::e2e
