/// Small random clusters in which much overlaps, and what happens to them: policies, pods, labels and namespaces come,
/// change and go. The same seed makes the same world.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "loader/state/policy/compile.hpp"
#include "tests/policy/oracle.hpp"

namespace sluice::test {

class World {
 public:
  /// The node whose pods are judged.
  static constexpr const char* kNode = "node-1";

  explicit World(unsigned seed);

  /// One thing comes, becomes another or goes.
  void change();

  [[nodiscard]] const loader::state::Cluster& cluster() const { return cluster_; }
  /// The pods that kNode has given an interface.
  [[nodiscard]] std::vector<loader::state::policy::LocalPod> local() const;

  /// A pod's, a node's, or some address of the cluster or of the world outside.
  End end();
  /// The end with this address now; no pod where it has gone.
  [[nodiscard]] End end_at(const Address& address) const;
  loader::kube::Protocol protocol();
  std::uint16_t port();
  int number(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }

 private:
  std::string some(const std::vector<std::string>& words) {
    return words[static_cast<std::size_t>(number(static_cast<int>(words.size())))];
  }
  void put(const loader::kube::ObjectId& id, const loader::kube::Labels& labels, const loader::kube::Body& body);
  void remove(const loader::kube::ObjectId& id);

  void put_pod(int i);
  void put_host_pod(int i);
  void put_node(int i);
  void put_namespace(const std::string& name);
  void put_or_remove_policy();

  loader::kube::LabelSelector selector(const std::string& key, const std::vector<std::string>& values);
  loader::kube::LabelSelector pods();
  loader::kube::LabelSelector namespaces();
  Prefix block();
  std::vector<loader::kube::PolicyPort> ports(bool cluster);
  loader::kube::PolicyRule rule();
  loader::kube::NetworkPolicy network_policy();
  loader::kube::ClusterRule cluster_rule(bool baseline);
  loader::kube::ClusterPolicy cluster_policy();

  std::mt19937 random_;
  loader::state::Cluster cluster_;
};

/// Which world a random test begins with, and how long it goes on: SLUICE_FUZZ_SEED and SLUICE_FUZZ_SECONDS. Without
/// the latter it ends after `worlds`.
class Worlds {
 public:
  explicit Worlds(unsigned worlds);
  /// False: enough.
  bool next();
  [[nodiscard]] unsigned seed() const { return first_ + done_ - 1; }

 private:
  unsigned first_, wanted_, done_ = 0;
  double seconds_;
  double end_;
};

}  // namespace sluice::test
