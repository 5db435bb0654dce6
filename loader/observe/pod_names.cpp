#include "loader/observe/pod_names.hpp"

#include <cerrno>

namespace sluice::loader::observe {

namespace {

constexpr std::size_t kShortId = 12;  // as container runtimes shorten it

}  // namespace

Result<PodName> PodName::parse(const std::string& text) {
  const auto slash = text.find('/');
  PodName pod =
      slash == std::string::npos ? PodName{"default", text} : PodName{text.substr(0, slash), text.substr(slash + 1)};
  if (pod.pod_namespace.empty() || pod.name.empty() || pod.name.find('/') != std::string::npos)
    return refuse(EINVAL, "'" + text + "' is not a pod's name: NAMESPACE/NAME, or NAME in the namespace default");
  return pod;
}

std::string display_name(const state::Attachment& attachment) {
  if (!attachment.pod_name.empty()) return PodName{attachment.pod_namespace, attachment.pod_name}.text();
  return attachment.key.container_id.substr(0, kShortId);
}

Result<PodNames> PodNames::read(const Root& root) {
  PodNames names;
  names.attachments_ = TRY(state::attachments(root));
  for (const auto& attachment : names.attachments_) {
    for (const Address& address : attachment.addresses) names.by_address_[address] = display_name(attachment);
    if (attachment.host_ifindex != 0) names.by_interface_[attachment.host_ifindex] = display_name(attachment);
  }
  return names;
}

std::string PodNames::of(const Address& address) const {
  const auto found = by_address_.find(address);
  return found != by_address_.end() ? found->second : "";
}

std::string PodNames::of_interface(int host_ifindex) const {
  const auto found = by_interface_.find(host_ifindex);
  return found != by_interface_.end() ? found->second : "";
}

Result<std::vector<state::Attachment>> PodNames::attachments_of(const PodName& pod) const {
  std::vector<state::Attachment> found;
  for (const auto& attachment : attachments_)
    if (attachment.pod_namespace == pod.pod_namespace && attachment.pod_name == pod.name) found.push_back(attachment);
  if (found.empty())
    return refuse(ENOENT, "no pod " + pod.text() + " on this node: `bpfctl endpoint list` shows those that are");
  return found;
}

}  // namespace sluice::loader::observe
