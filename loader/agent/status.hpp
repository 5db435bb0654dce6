/// How the agent fares: one value for agent.json, the health page and the metrics.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "loader/agent/http.hpp"
#include "loader/kube/source.hpp"
#include "loader/root.hpp"

namespace sluice::loader::agent {

struct PartStatus {
  std::string name;
  std::string failure;                            ///< of the last try; empty: it succeeded
  std::chrono::system_clock::time_point applied;  ///< the last success; the epoch: none yet
  std::chrono::microseconds took{0};              ///< what it took
  std::size_t pending = 0;                        ///< changes that wait for one
  std::vector<std::string> warnings;              ///< what of the last success could not be done, a sentence each
};

struct Status {
  std::map<std::string, std::size_t> objects;  ///< by kind
  std::vector<kube::Problem> problems;
  std::vector<PartStatus> parts;
};

/// {"objects": {"Pod": 3}, "problems": [{"file", "message"}], "parts": [{"name", "failure", "applied", "microseconds",
/// "pending", "warnings"}]}; times as in RFC 3339, empty where there is none.
std::string json_text(const Status& status);
/// In Prometheus' text format (version 0.0.4).
std::string prometheus_text(const Status& status);

/// What the agent's work shows to the HTTP servers' thread.
class StatusBoard {
 public:
  /// The event loop goes round; said at least every `kRound`.
  static constexpr std::chrono::seconds kRound{10};

  void set(Status status);
  /// Empty: the datapath is in force.
  void set_datapath(std::string failure);
  void beat();

  [[nodiscard]] Status status() const;
  /// /healthz: 200 while the datapath is in force and the agent follows the objects, else 503; the body says what is
  /// wrong. A part that cannot apply something is told there, too, and is no 503: what was in force before still is,
  /// and neither a restart nor a load balancer that turns away would help.
  /// {"healthy": true, "reasons": [], "warnings": ["policies: no room ..."]}
  [[nodiscard]] HttpAnswer health() const;

 private:
  mutable std::mutex mutex_;
  Status status_;
  bool applied_ = false;  ///< set was called
  std::string datapath_failure_ = "the datapath is not loaded yet";
  std::chrono::steady_clock::time_point beat_ = std::chrono::steady_clock::now();
};

/// /metrics: what the datapath counts and how the agent fares. 503 with a sentence: the datapath's maps cannot be read.
HttpAnswer metrics_page(const Root& root, const StatusBoard& board);

}  // namespace sluice::loader::agent
