#pragma once

namespace sluice::loader::kube {

/// v1 Namespace. What matters are the object's labels; "kubernetes.io/metadata.name" is always among them, since the
/// API server puts it there.
struct Namespace {
  bool operator==(const Namespace&) const = default;
};

}  // namespace sluice::loader::kube
