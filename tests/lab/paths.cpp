#include "tests/lab/paths.hpp"

#include <algorithm>
#include <cerrno>

namespace sluice::lab {

Result<PodName> PodName::parse(const std::string& text) {
  const auto slash = text.find('/');
  PodName pod =
      slash == std::string::npos ? PodName{"default", text} : PodName{text.substr(0, slash), text.substr(slash + 1)};
  if (pod.ns.empty() || pod.name.empty() || pod.name.find('/') != std::string::npos) {
    return refuse(EINVAL, "\"" + text + "\" is not NAMESPACE/POD");
  }
  return pod;
}

Result<Paths> Paths::of(const std::string& lab) {
  const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (lab.empty() || lab.size() > 40 || lab.front() == '-' || !std::all_of(lab.begin(), lab.end(), allowed)) {
    return refuse(EINVAL, "\"" + lab + "\" is not a name for a lab: up to 40 of a-z, 0-9 and \"-\"");
  }
  return Paths(lab);
}

}  // namespace sluice::lab
