#include "loader/state/cluster.hpp"

namespace sluice::loader::state {
namespace {

const kube::EndpointSlice* slice_of(const kube::Object* object) {
  return object != nullptr ? std::get_if<kube::EndpointSlice>(&object->body) : nullptr;
}

}  // namespace

std::vector<kube::ObjectId> Cluster::take(const kube::Batch& batch) {
  std::vector<kube::ObjectId> changed;
  for (const kube::Change& change : batch.changes) {
    changed.push_back(change.id);
    if (const auto* old = slice_of(find(change.id))) {
      changed.push_back({"Service", change.id.ns, old->service});
      const auto index = slices_.find({change.id.ns, old->service});
      index->second.erase(change.id);
      if (index->second.empty()) slices_.erase(index);
    }
    if (!change.object) {
      if (objects_.erase(change.id) > 0 && --counts_[change.id.kind] == 0) counts_.erase(change.id.kind);
      continue;
    }
    if (objects_.insert_or_assign(change.id, change.object).second) ++counts_[change.id.kind];
    if (const auto* slice = slice_of(change.object.get())) {
      changed.push_back({"Service", change.id.ns, slice->service});
      slices_[{change.id.ns, slice->service}].insert(change.id);
    }
  }
  return changed;
}

const kube::Object* Cluster::find(const kube::ObjectId& id) const {
  const auto found = objects_.find(id);
  return found != objects_.end() ? found->second.get() : nullptr;
}

kube::ObjectPtr Cluster::pointer(const kube::ObjectId& id) const {
  const auto found = objects_.find(id);
  return found != objects_.end() ? found->second : nullptr;
}

std::vector<const kube::EndpointSlice*> Cluster::slices(const std::string& ns, const std::string& service) const {
  std::vector<const kube::EndpointSlice*> found;
  const auto index = slices_.find({ns, service});
  if (index == slices_.end()) return found;
  for (const kube::ObjectId& id : index->second) found.push_back(slice_of(find(id)));
  return found;
}

}  // namespace sluice::loader::state
