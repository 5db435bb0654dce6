/// Policies by chance, datagrams that meet them all the time, and what each may have met: a verdict that was in force
/// while it was on its way.
#pragma once

#include <atomic>
#include <chrono>
#include <list>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "loader/state/cluster.hpp"
#include "tests/e2e/policy_lab.hpp"
#include "tests/e2e/socket.hpp"

namespace sluice::e2e {

using Clock = std::chrono::steady_clock;

inline constexpr std::uint16_t kTrafficPorts[] = {53, 80, 81};
inline const std::vector<std::string> kTrafficClients{"x/one", "x/two", "y/three"};
inline constexpr const char* kTrafficServer = "x/web";

/// A manifest of "NAMESPACE/NAME", one letter and a name, with the name as its label.
std::string traffic_pod(const std::string& name, const std::string& node = "node-1");
/// The objects as they are with these pods' addresses, for oracles.
loader::state::Cluster traffic_cluster(const std::string& objects, const PolicyLab& lab);

/// Sets of policies by chance, for the clients and the server.
class PolicyChanges {
 public:
  explicit PolicyChanges(const PolicyLab& lab);
  std::string next();

 private:
  std::string rule(const std::string& direction);
  int number(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }
  std::string some(const std::vector<std::string>& words) {
    return words[static_cast<std::size_t>(number(static_cast<int>(words.size())))];
  }

  std::mt19937 random_{20240229};
  std::vector<std::string> addresses_;
};

/// What was in force for a time: from `begun`, when the agent could first know of it, until `over`, when it has applied
/// the next.
struct PolicyState {
  std::string yaml;
  Clock::time_point begun, over = Clock::time_point::max();
  bool egress[3][3] = {}, ingress[3][3] = {};  ///< what either end's rules allow, by client and port
};

/// Finds out what `state.yaml` allows beside `objects`.
void judge(PolicyState& state, const std::string& objects, const PolicyLab& lab);

/// Datagrams of every client to every port all the time: as a connection that goes on, and as ones that begin.
class PolicyTraffic {
 public:
  explicit PolicyTraffic(const PolicyLab& lab);
  ~PolicyTraffic() { stop(); }
  PolicyTraffic(const PolicyTraffic&) = delete;
  PolicyTraffic& operator=(const PolicyTraffic&) = delete;

  /// The last ones have arrived, or will not.
  void stop();
  /// Each datagram has met what it may have met; that of clients `far` on another node than the server's, at the end
  /// that each node judges. Call after `stop`.
  void check(const std::list<PolicyState>& states, const std::set<std::string>& far = {}) const;

 private:
  static constexpr std::size_t kMost = 200'000;

  struct Sent {
    std::size_t client = 0, port = 0;
    bool first = false;  ///< of a connection
    Clock::time_point before, after;
    std::atomic<Clock::rep> arrived = 0;
  };
  /// What a packet may meet that is on its way.
  struct Possible {
    bool comes = false, is_lost = false;
  };

  [[nodiscard]] const Place& server() const { return lab_.place(kTrafficServer); }
  [[nodiscard]] Socket open(const std::string& client) const;
  void send(const Socket& socket, std::size_t client, std::size_t port, bool first);
  void send_all();
  void receive_all();
  static Possible possible(const std::list<PolicyState>& states, const Sent& sent, Clock::time_point last,
                           bool one_node);

  const PolicyLab& lab_;
  std::vector<Sent> sent_;
  std::size_t count_ = 0;
  std::vector<Socket> servers_, running_;
  std::atomic<bool> stop_sending_ = false, stop_receiving_ = false;
  std::thread sending_, receiving_;
};

}  // namespace sluice::e2e
