/// The cluster as this node knows it: the objects in force.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "loader/kube/source.hpp"

namespace sluice::loader::state {

class Cluster {
 public:
  /// Takes a batch over as a whole. What has changed by it: the objects of the batch, and for each EndpointSlice the
  /// Services that it was and is of.
  std::vector<kube::ObjectId> take(const kube::Batch& batch);

  /// Null: there is none.
  [[nodiscard]] const kube::Object* find(const kube::ObjectId& id) const;
  [[nodiscard]] kube::ObjectPtr pointer(const kube::ObjectId& id) const;
  [[nodiscard]] const std::map<kube::ObjectId, kube::ObjectPtr>& all() const { return objects_; }
  /// All of one kind by name, e.g. each<kube::Pod>([](const kube::Object& object, const kube::Pod& pod) {...}).
  template <typename Kind>
  void each(auto&& work) const {
    for (const auto& [id, object] : objects_)
      if (const auto* body = std::get_if<Kind>(&object->body)) work(*object, *body);
  }
  /// The same of one namespace, or of what belongs to none (""): looks at no others. `kind` as ObjectId has it.
  template <typename Kind>
  void each_in(const std::string& kind, const std::string& ns, auto&& work) const {
    for (auto one = objects_.lower_bound({kind, ns, {}});
         one != objects_.end() && one->first.kind == kind && one->first.ns == ns; ++one)
      if (const auto* body = std::get_if<Kind>(&one->second->body)) work(one->second, *body);
  }
  /// The EndpointSlices of a Service.
  [[nodiscard]] std::vector<const kube::EndpointSlice*> slices(const std::string& ns, const std::string& service) const;
  /// How many there are of each kind.
  [[nodiscard]] const std::map<std::string, std::size_t>& counts() const { return counts_; }

 private:
  std::map<kube::ObjectId, kube::ObjectPtr> objects_;
  std::map<std::string, std::size_t> counts_;
  std::map<std::pair<std::string, std::string>, std::set<kube::ObjectId>> slices_;  ///< by namespace and Service
};

}  // namespace sluice::loader::state
