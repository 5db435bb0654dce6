/// Who policies are about: pods by class. Private to loader/state/policy.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "loader/state/cluster.hpp"
#include "loader/state/policy/numbers.hpp"

namespace sluice::loader::state::policy {

/// All pods that no rule can tell apart: by labels, namespace and its labels, and named ports.
struct PodClass {
  std::uint32_t id = 0;
  std::string ns;
  kube::Labels labels, ns_labels;
  std::vector<kube::ContainerPort> ports;
  std::size_t pods = 0;                  ///< how many are of it
  const std::string* content = nullptr;  ///< all of this
};

/// A pod that came, went, or has another class, node or address.
struct PodChange {
  kube::ObjectPtr before, now;  ///< null: there was none, or policy was not about it
  std::uint32_t class_now = 0;
};

/// What a look at the cluster has found.
struct SubjectChanges {
  std::vector<PodChange> pods;
  std::vector<const PodClass*> classes;  ///< that came or went: readable until the next look
};

class Subjects {
 public:
  /// Takes what has changed. `changed`: the ids that may have; null: all may have. Addresses of pods that their objects
  /// do not have: `local`.
  SubjectChanges take(const Cluster& cluster, const std::vector<kube::ObjectId>* changed,
                      const std::map<kube::ObjectId, std::vector<Address>>& local, Numbering& numbers);

  /// Null: there is no such pod, or it is in the host's network, or has ended.
  [[nodiscard]] const PodClass* class_of(const kube::ObjectId& pod) const;
  [[nodiscard]] const std::map<std::string, PodClass>& classes() const { return classes_; }
  /// Those of one namespace.
  [[nodiscard]] const std::vector<const PodClass*>& classes_in(const std::string& ns) const;
  /// Calls `work(labels of a namespace, classes in it)` for each that has pods.
  void each_namespace(auto&& work) const {
    for (const auto& [name, classes] : in_namespace_) work(classes.front()->ns_labels, classes);
  }

 private:
  struct Known {
    kube::ObjectPtr object;
    PodClass* in = nullptr;  ///< null: policy is not about it
    bool stale = false;      ///< its namespace is another since
  };

  void look(const kube::ObjectId& id, kube::ObjectPtr now, const std::vector<Address>* addresses, Numbering& numbers,
            SubjectChanges& changes);
  bool look_at_namespace(const std::string& name, const kube::Object* now);
  PodClass* enter(const kube::Object& object, const std::vector<Address>* addresses, Numbering& numbers,
                  SubjectChanges& changes);
  void leave(PodClass& one, SubjectChanges& changes);

  std::map<kube::ObjectId, Known> pods_;
  std::map<std::string, PodClass> classes_;                       ///< by what they are
  std::vector<std::map<std::string, PodClass>::node_type> gone_;  ///< with the last look
  std::map<std::string, std::vector<const PodClass*>> in_namespace_;
  std::map<std::string, kube::Labels> ns_labels_;  ///< of namespaces whose objects are known
};

}  // namespace sluice::loader::state::policy
