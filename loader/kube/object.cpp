#include "loader/kube/object.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include "loader/kube/decode.hpp"
#include "loader/kube/field.hpp"
#include "loader/kube/names.hpp"

namespace sluice::loader::kube {

namespace {

/// What is known of a kind: another API group may have one of the same name, which is not ours then.
struct Kind {
  const char* name;
  const char* group;  ///< empty: the core group
  std::vector<const char*> versions;
  bool namespaced;
  bool (*valid_name)(std::string_view);
  Result<Body> (*decode)(const Field& document, Object& object);
};

template <typename T>
Result<Body> as_body(Result<T> decoded) {
  return Body(TRY(std::move(decoded)));
}

const std::array<Kind, 9>& kinds() {
  static const char* const policy_group = "policy.networking.k8s.io";
  static const auto decode_any_cluster_policy = [](const Field& document, Object& object) {
    return as_body(decode_cluster_policy(document, object));
  };
  static const std::array<Kind, 9> all{{
      {"Namespace",
       "",
       {"v1"},
       false,
       is_dns_label,
       [](const Field& document, Object& object) { return as_body(decode_namespace(document, object)); }},
      {"Node",
       "",
       {"v1"},
       false,
       is_dns_subdomain,
       [](const Field& document, Object& object) { return as_body(decode_node(document, object)); }},
      {"Pod",
       "",
       {"v1"},
       true,
       is_dns_subdomain,
       [](const Field& document, Object& /*object*/) { return as_body(decode_pod(document)); }},
      {"Service",
       "",
       {"v1"},
       true,
       is_dns_label,
       [](const Field& document, Object& object) { return as_body(decode_service(document, object)); }},
      {"EndpointSlice",
       "discovery.k8s.io",
       {"v1"},
       true,
       is_dns_subdomain,
       [](const Field& document, Object& object) { return as_body(decode_endpoint_slice(document, object)); }},
      {"NetworkPolicy",
       "networking.k8s.io",
       {"v1"},
       true,
       is_dns_subdomain,
       [](const Field& document, Object& /*object*/) { return as_body(decode_network_policy(document)); }},
      {"ClusterNetworkPolicy",
       policy_group,
       {"v1alpha2", "v1beta1"},
       false,
       is_dns_subdomain,
       decode_any_cluster_policy},
      {"AdminNetworkPolicy", policy_group, {"v1alpha1"}, false, is_dns_subdomain, decode_any_cluster_policy},
      {"BaselineAdminNetworkPolicy", policy_group, {"v1alpha1"}, false, is_dns_subdomain, decode_any_cluster_policy},
  }};
  return all;
}

struct ApiVersion {
  std::string group;
  std::string version;
};

ApiVersion split(const std::string& api_version) {
  const auto slash = api_version.find('/');
  if (slash == std::string::npos) return {"", api_version};
  return {api_version.substr(0, slash), api_version.substr(slash + 1)};
}

/// Null: not a kind that is known.
const Kind* find_kind(const std::string& name, const std::string& group) {
  const auto& all = kinds();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Kind& kind) { return name == kind.name && group == kind.group; });
  return found == all.end() ? nullptr : &*found;
}

Result<void> check_version(const Field& document, const Kind& kind, const std::string& version) {
  std::string all;
  for (const char* known : kind.versions) {
    if (version == known) return {};
    all += (all.empty() ? "" : " or ") + (*kind.group == 0 ? "" : std::string(kind.group) + "/") + known;
  }
  return TRY(document.at("apiVersion")).wrong("must be " + all + " for a " + kind.name);
}

Result<ObjectId> decode_id(const Field& document, const std::string& kind_name, const Kind* kind) {
  ObjectId id{.kind = kind_name};
  const auto metadata = TRY(document.at("metadata"));
  const auto name = TRY(metadata.at("name"));
  id.name = TRY(name.required_text());
  if (!(kind != nullptr ? kind->valid_name : is_path_segment)(id.name)) {
    return name.wrong("\"" + id.name + "\" is not a name that a " + id.kind + " can have");
  }
  const auto ns = TRY(metadata.at("namespace"));
  id.ns = TRY(ns.text());
  if (!id.ns.empty() && kind != nullptr && !kind->namespaced) {
    return ns.wrong("a " + id.kind + " belongs to no namespace");
  }
  if (!id.ns.empty() && !is_dns_label(id.ns)) return ns.wrong("\"" + id.ns + "\" is not the name of a namespace");
  // Of a kind that is not known it is not known either whether it has a namespace.
  if (id.ns.empty() && kind != nullptr && kind->namespaced) id.ns = "default";
  return id;
}

Result<void> decode_rest(const Field& document, const Kind* kind, Object& object) {
  const auto metadata = TRY(document.at("metadata"));
  object.labels = TRY(TRY(metadata.at("labels")).text_map());
  object.annotations = TRY(TRY(metadata.at("annotations")).text_map());
  if (kind == nullptr) return {};
  TRY(check_version(document, *kind, split(object.api_version).version));
  object.body = TRY(kind->decode(document, object));
  return {};
}

}  // namespace

std::string ObjectId::text() const { return kind + " " + (ns.empty() ? name : ns + "/" + name); }

Result<Object> decode(const nlohmann::json& value, Keep keep) {
  if (!value.is_object()) return refuse(EINVAL, "is not an object");
  const Field document(value);
  Object object;
  object.api_version = TRY(TRY(document.at("apiVersion")).required_text());
  const auto name = TRY(TRY(document.at("kind")).required_text());
  const Kind* const kind = find_kind(name, split(object.api_version).group);
  object.id = TRY(decode_id(document, name, kind).context(name));
  TRY(decode_rest(document, kind, object).context(object.id.text()));
  if (keep == Keep::kAll) object.json = value.dump();
  return object;
}

}  // namespace sluice::loader::kube
