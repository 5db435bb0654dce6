#include "loader/kube/object.hpp"

#include <algorithm>
#include <cerrno>
#include <set>

#include "loader/kube/field.hpp"

namespace sluice::loader::kube {

namespace {

bool lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

/// RFC 1123, 2.1 with lower case only, as Kubernetes has it.
bool dns_label(std::string_view text) {
  return !text.empty() && text.size() <= 63 && lower_or_digit(text.front()) && lower_or_digit(text.back()) &&
         std::all_of(text.begin(), text.end(), [](char c) { return lower_or_digit(c) || c == '-'; });
}

bool dns_subdomain(std::string_view text) {
  if (text.size() > 253) return false;
  for (std::size_t dot = text.find('.'); dot != std::string_view::npos; dot = text.find('.')) {
    if (!dns_label(text.substr(0, dot))) return false;
    text.remove_prefix(dot + 1);
  }
  return dns_label(text);
}

/// What every kind's name must be (some have stricter rules of their own): a segment of a URL's path.
bool path_segment(std::string_view text) {
  return text.size() <= 253 && text != "." && text != ".." && text.find_first_of("/%") == std::string_view::npos;
}

/// Kinds that are in the namespace "default" where they name none. Of the others Sluice does not know whether they
/// have a namespace.
bool is_namespaced(const std::string& kind) {
  static const std::set<std::string> kinds{"Pod", "Service", "EndpointSlice", "Endpoints", "NetworkPolicy"};
  return kinds.contains(kind);
}

/// `parse`d with the field's path before what is wrong.
template <typename T>
Result<T> parsed(const Field& field) {
  const auto text = TRY(field.required_text());
  auto value = T::parse(text);
  if (!value) return field.wrong(value.error().message);
  return value;
}

Result<Node> decode_node(const Field& object) {
  Node node;
  const auto spec = TRY(object.at("spec"));
  const auto list = TRY(spec.at("podCIDRs"));
  for (const auto& element : TRY(list.elements())) {
    const auto cidr = TRY(parsed<Prefix>(element));
    if (cidr.address != cidr.first()) return element.wrong(cidr.text() + " has bits set beyond its prefix length");
    if (std::any_of(node.pod_cidrs.begin(), node.pod_cidrs.end(),
                    [&](const Prefix& other) { return other.address.is_v4() == cidr.address.is_v4(); })) {
      return element.wrong("there can be only one of each family");
    }
    node.pod_cidrs.push_back(cidr);
  }
  const auto single = TRY(spec.at("podCIDR"));
  if (node.pod_cidrs.empty() && !single.absent()) node.pod_cidrs.push_back(TRY(parsed<Prefix>(single)));

  const auto status = TRY(object.at("status"));
  for (const auto& element : TRY(TRY(status.at("addresses")).elements())) {
    if (TRY(TRY(element.at("type")).required_text()) != "InternalIP") continue;
    node.internal_addresses.push_back(TRY(parsed<Address>(TRY(element.at("address")))));
  }
  return node;
}

Result<Pod> decode_pod(const Field& object) {
  Pod pod;
  const auto spec = TRY(object.at("spec"));
  const auto node_name = TRY(spec.at("nodeName"));
  pod.node_name = TRY(node_name.text());
  if (!pod.node_name.empty() && !dns_subdomain(pod.node_name)) return node_name.wrong("is not the name of a node");
  pod.host_network = TRY(TRY(spec.at("hostNetwork")).boolean());
  return pod;
}

Result<ObjectId> decode_id(const Field& document, const std::string& kind) {
  ObjectId id{.kind = kind};
  const auto metadata = TRY(document.at("metadata"));
  const auto name = TRY(metadata.at("name"));
  id.name = TRY(name.required_text());
  if (kind == "Node" || kind == "Pod" ? !dns_subdomain(id.name) : !path_segment(id.name)) {
    return name.wrong("\"" + id.name + "\" is not a name that a " + kind + " can have");
  }
  const auto ns = TRY(metadata.at("namespace"));
  id.ns = TRY(ns.text());
  if (!id.ns.empty() && kind == "Node") return ns.wrong("a Node belongs to no namespace");
  if (!id.ns.empty() && !dns_label(id.ns)) return ns.wrong("\"" + id.ns + "\" is not the name of a namespace");
  if (id.ns.empty() && is_namespaced(kind)) id.ns = "default";
  return id;
}

Result<void> decode_body(const Field& document, Object& object) {
  const std::string& kind = object.id.kind;
  const auto metadata = TRY(document.at("metadata"));
  object.labels = TRY(TRY(metadata.at("labels")).text_map());
  object.annotations = TRY(TRY(metadata.at("annotations")).text_map());
  // Another group may have a kind of the same name.
  if ((kind != "Node" && kind != "Pod") || object.api_version.find('/') != std::string::npos) return {};
  if (object.api_version != "v1") return TRY(document.at("apiVersion")).wrong("must be v1 for a " + kind);
  if (kind == "Node") {
    object.body = TRY(decode_node(document));
  } else {
    object.body = TRY(decode_pod(document));
  }
  return {};
}

}  // namespace

std::string ObjectId::text() const { return kind + " " + (ns.empty() ? name : ns + "/" + name); }

Result<Object> decode(std::string_view json) {
  const auto parsed_json = nlohmann::json::parse(json, nullptr, false);
  if (parsed_json.is_discarded()) return refuse(EINVAL, "is not JSON");
  if (!parsed_json.is_object()) return refuse(EINVAL, "is not an object");
  const Field document(parsed_json);
  Object object;
  object.api_version = TRY(TRY(document.at("apiVersion")).required_text());
  const auto kind = TRY(TRY(document.at("kind")).required_text());
  object.id = TRY(decode_id(document, kind).context(kind));
  TRY(decode_body(document, object).context(object.id.text()));
  object.json = parsed_json.dump();
  return object;
}

}  // namespace sluice::loader::kube
