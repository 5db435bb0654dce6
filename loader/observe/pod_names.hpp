/// Which pod an address or an interface belongs to, as the CNI plugin has written it down.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "loader/root.hpp"
#include "loader/state/attachment.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader::observe {

/// "namespace/name", as in Kubernetes. Without a slash the namespace is "default".
struct PodName {
  std::string pod_namespace;
  std::string name;
  auto operator<=>(const PodName&) const = default;

  /// EINVAL: not a name.
  static Result<PodName> parse(const std::string& text);
  [[nodiscard]] std::string text() const { return pod_namespace + "/" + name; }
};

/// The names of this node's pods. A runtime that tells the plugin no name leaves its container id in its place.
class PodNames {
 public:
  static Result<PodNames> read(const Root& root);

  /// Empty: no pod of this node, or none that is known.
  [[nodiscard]] std::string of(const Address& address) const;
  [[nodiscard]] std::string of_interface(int host_ifindex) const;
  /// The attachments of a pod: one for each of its interfaces. ENOENT: this node has no such pod.
  [[nodiscard]] Result<std::vector<state::Attachment>> attachments_of(const PodName& pod) const;
  [[nodiscard]] const std::vector<state::Attachment>& attachments() const { return attachments_; }

 private:
  std::vector<state::Attachment> attachments_;
  std::map<Address, std::string> by_address_;
  std::map<int, std::string> by_interface_;
};

/// How a pod is called: "namespace/name", or the start of its container's id where the runtime gave no name.
std::string display_name(const state::Attachment& attachment);

}  // namespace sluice::loader::observe
