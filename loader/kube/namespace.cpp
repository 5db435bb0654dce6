#include "loader/kube/namespace.hpp"

#include "loader/kube/decode.hpp"

namespace sluice::loader::kube {

Result<Namespace> decode_namespace(const Field& /*document*/, Object& object) {
  object.labels["kubernetes.io/metadata.name"] = object.id.name;
  return Namespace{};
}

}  // namespace sluice::loader::kube
