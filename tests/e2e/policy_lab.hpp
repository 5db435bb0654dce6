/// A lab whose nodes all have their agent, and what stands in their folders of objects beside what the lab tells them.
#pragma once

#include <list>
#include <map>
#include <string>
#include <vector>

#include "tests/e2e/agent.hpp"
#include "tests/e2e/cluster.hpp"

namespace sluice::e2e {

class PolicyLab {
 public:
  /// Up with these objects; `pods` are those whose places are wanted, by NAMESPACE/NAME.
  PolicyLab(const std::string& yaml, std::vector<std::string> nodes, const std::vector<std::string>& pods);

  [[nodiscard]] const Cluster& cluster() const { return cluster_; }
  /// Of a node, or of a pod that was asked for.
  [[nodiscard]] const Place& place(const std::string& name) const { return places_.at(name); }

  /// Returns when every agent has applied these objects, and no others beside the lab's.
  void put(const std::string& objects);
  /// The same in two steps.
  void write(const std::string& objects);
  void wait() const;
  Agent& agent(const std::string& node);

 private:
  [[nodiscard]] bool applied(const std::string& node) const;

  Cluster cluster_;
  std::vector<std::string> nodes_;
  std::list<Agent> agents_;
  std::map<std::string, Place> places_;
  unsigned generation_ = 0;
};

}  // namespace sluice::e2e
