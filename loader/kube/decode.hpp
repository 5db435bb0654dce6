/// From fields to values: what the kinds' decoders share, and the decoders. Each applies the defaults of the API server
/// and refuses (EINVAL, with the field named) what the API server would. Private to loader/kube.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "loader/kube/field.hpp"
#include "loader/kube/object.hpp"

namespace sluice::loader::kube {

/// One object. EINVAL: not an object of Kubernetes, or a field that is used has a wrong value; the message names the
/// object and the field.
Result<Object> decode(const nlohmann::json& value, Keep keep);

// Of one kind, from the whole document and what of `object` is known before: its id, labels and annotations.
Result<Namespace> decode_namespace(const Field& document, Object& object);
Result<Node> decode_node(const Field& document, const Object& object);
Result<Pod> decode_pod(const Field& document);
Result<Service> decode_service(const Field& document, const Object& object);
Result<EndpointSlice> decode_endpoint_slice(const Field& document, const Object& object);
Result<NetworkPolicy> decode_network_policy(const Field& document);
Result<ClusterPolicy> decode_cluster_policy(const Field& document, Object& object);

/// An absent selector is one that selects everything: ask `absent()` first where that is wrong.
Result<LabelSelector> decode_selector(const Field& selector);

/// TCP where absent.
Result<Protocol> decode_protocol(const Field& field);
/// 1..65535, and it must be there.
Result<std::uint16_t> decode_port(const Field& field);
/// As `decode_port`; 0 where absent or 0.
Result<std::uint16_t> decode_optional_port(const Field& field);
/// A number or a port's name; `absent` where absent, 0 or empty.
Result<PortRef> decode_port_ref(const Field& field, const PortRef& absent);
/// An address block with its length, blanks around it allowed, host bits made zero.
Result<Prefix> decode_cidr(const Field& field);
/// An address that a packet can be sent to from elsewhere: no unspecified, loopback, link-local or multicast one.
Result<Address> decode_usable_address(const Field& field);

/// Whether the condition `type` in status.conditions is True; `absent` where there is no such condition.
Result<bool> decode_condition(const Field& status, const std::string& type, bool absent);

/// `parse`d with the field's path before what is wrong.
template <typename T>
Result<T> parsed(const Field& field) {
  const auto text = TRY(field.required_text());
  auto value = T::parse(text);
  if (!value) return field.wrong(value.error().message);
  return value;
}

/// The value that stands beside the field's text; `absent` where it is absent or empty.
template <typename T>
Result<T> decode_choice(const Field& field, const std::vector<std::pair<const char*, T>>& choices, T absent) {
  const auto text = TRY(field.text());
  if (text.empty()) return absent;
  std::string all;
  for (const auto& [word, value] : choices) {
    if (text == word) return value;
    all += (all.empty() ? "" : ", ") + std::string(word);
  }
  return field.wrong("\"" + text + "\" is none of " + all);
}

/// Whether `all` has a value of the same family as `value`: an Address, or a Prefix.
inline bool has_family(const std::vector<Address>& all, const Address& value) {
  return std::any_of(all.begin(), all.end(), [&](const Address& other) { return other.is_v4() == value.is_v4(); });
}
inline bool has_family(const std::vector<Prefix>& all, const Prefix& value) {
  return std::any_of(all.begin(), all.end(),
                     [&](const Prefix& other) { return other.address.is_v4() == value.address.is_v4(); });
}

}  // namespace sluice::loader::kube
