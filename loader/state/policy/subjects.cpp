#include "loader/state/policy/subjects.hpp"

#include <algorithm>
#include <set>

namespace sluice::loader::state::policy {
namespace {

void write(std::string& text, const std::string& word) {
  text += word;
  text += '\0';
}

void write(std::string& text, const kube::Labels& labels) {
  for (const auto& [key, value] : labels) {
    write(text, key);
    write(text, value);
  }
  text += '\1';
}

std::string content_of(const kube::Object& object, const kube::Labels& ns_labels) {
  std::string content = "pod";
  write(content, object.id.ns);
  write(content, ns_labels);
  write(content, object.labels);
  for (const auto& port : std::get<kube::Pod>(object.body).ports)
    if (!port.name.empty())
      write(content,
            port.name + '/' + std::to_string(static_cast<int>(port.protocol)) + '/' + std::to_string(port.port));
  return content;
}

bool same_place(const kube::Object& one, const kube::Object& other) {
  const auto &a = std::get<kube::Pod>(one.body), &b = std::get<kube::Pod>(other.body);
  return a.node_name == b.node_name && a.ips == b.ips;
}

bool is_judged(const kube::Pod& pod) { return !pod.host_network && !pod.ended(); }

}  // namespace

SubjectChanges Subjects::take(const Cluster& cluster, const std::vector<kube::ObjectId>* changed,
                              const std::map<kube::ObjectId, std::vector<Address>>& local, Numbering& numbers) {
  std::set<kube::ObjectId> pods;
  std::set<std::string> namespaces;
  const auto note = [&](const kube::ObjectId& id) {
    if (id.kind == "Pod") pods.insert(id);
    if (id.kind == "Namespace") namespaces.insert(id.name);
  };
  if (changed != nullptr) {
    std::ranges::for_each(*changed, note);
  } else {
    for (const auto& [id, object] : cluster.all()) note(id);
    for (const auto& [id, known] : pods_) pods.insert(id);
    for (const auto& [name, labels] : ns_labels_) namespaces.insert(name);
  }
  SubjectChanges changes;
  gone_.clear();
  for (const std::string& name : namespaces) {
    if (!look_at_namespace(name, cluster.find({"Namespace", "", name}))) continue;
    for (auto one = pods_.lower_bound({"Pod", name, {}}); one != pods_.end() && one->first.ns == name; ++one) {
      one->second.stale = true;
      pods.insert(one->first);
    }
  }
  for (const kube::ObjectId& id : pods) {
    const auto addresses = local.find(id);
    look(id, cluster.pointer(id), addresses != local.end() ? &addresses->second : nullptr, numbers, changes);
  }
  return changes;
}

/// True: its labels are others.
bool Subjects::look_at_namespace(const std::string& name, const kube::Object* now) {
  const auto known = ns_labels_.find(name);
  if (now == nullptr) {
    if (known == ns_labels_.end()) return false;
    ns_labels_.erase(known);
    return true;
  }
  if (known != ns_labels_.end() && known->second == now->labels) return false;
  ns_labels_[name] = now->labels;
  return true;
}

void Subjects::look(const kube::ObjectId& id, kube::ObjectPtr now, const std::vector<Address>* addresses,
                    Numbering& numbers, SubjectChanges& changes) {
  const auto known = pods_.find(id);
  if (known != pods_.end() && now != nullptr && known->second.object == now && !known->second.stale) return;
  if (known == pods_.end() && now == nullptr) return;
  // In this order, so that a class that stays is not made anew.
  PodClass* const before = known != pods_.end() ? known->second.in : nullptr;
  PodClass* const in = now != nullptr ? enter(*now, addresses, numbers, changes) : nullptr;
  if (before != in || (in != nullptr && !same_place(*known->second.object, *now)))
    changes.pods.push_back({before != nullptr ? known->second.object : nullptr, in != nullptr ? now : nullptr,
                            in != nullptr ? in->id : 0});
  if (before != nullptr) leave(*before, changes);
  if (now == nullptr)
    pods_.erase(known);
  else
    pods_[id] = {std::move(now), in};
}

PodClass* Subjects::enter(const kube::Object& object, const std::vector<Address>* addresses, Numbering& numbers,
                          SubjectChanges& changes) {
  const auto* pod = std::get_if<kube::Pod>(&object.body);
  if (pod == nullptr || !is_judged(*pod)) return nullptr;
  // A namespace whose object is not known has the label that every one has.
  const auto ns = ns_labels_.find(object.id.ns);
  kube::Labels ns_labels =
      ns != ns_labels_.end() ? ns->second : kube::Labels{{"kubernetes.io/metadata.name", object.id.ns}};
  const std::string content = content_of(object, ns_labels);
  const auto [found, fresh] = classes_.try_emplace(content);
  PodClass& one = found->second;
  if (fresh) {
    changes.classes.push_back(&one);
    std::uint32_t wish = 0;
    for (const auto* list : {&pod->ips, addresses})
      if (list != nullptr)
        for (const Address& address : *list) wish = wish != 0 ? wish : numbers.known_of(Prefix::host(address)).identity;
    one = {numbers.classes.of(content, wish),
           object.id.ns,
           object.labels,
           std::move(ns_labels),
           pod->ports,
           0,
           &found->first};
    in_namespace_[object.id.ns].push_back(&one);
  }
  one.pods++;
  return &one;
}

void Subjects::leave(PodClass& one, SubjectChanges& changes) {
  if (--one.pods > 0) return;
  changes.classes.push_back(&one);
  const auto in = in_namespace_.find(one.ns);
  std::erase(in->second, &one);
  if (in->second.empty()) in_namespace_.erase(in);
  gone_.push_back(classes_.extract(*one.content));
}

const PodClass* Subjects::class_of(const kube::ObjectId& pod) const {
  const auto found = pods_.find(pod);
  return found != pods_.end() ? found->second.in : nullptr;
}

const std::vector<const PodClass*>& Subjects::classes_in(const std::string& ns) const {
  static const std::vector<const PodClass*> kNone;
  const auto found = in_namespace_.find(ns);
  return found != in_namespace_.end() ? found->second : kNone;
}

}  // namespace sluice::loader::state::policy
