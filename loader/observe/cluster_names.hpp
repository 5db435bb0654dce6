/// What addresses are called, and names' addresses: pods of this node as the CNI plugin has written them down, and,
/// from the objects in the node's folder, pods of other nodes, Services and nodes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "loader/kube/object.hpp"
#include "loader/observe/pod_names.hpp"
#include "loader/root.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader::observe {

class ClusterNames {
 public:
  /// Without objects, only this node's pods are known. What is wrong in a file of objects leaves it out.
  static Result<ClusterNames> read(const Root& root);

  /// "default/web", "node node-2"; empty: not known.
  [[nodiscard]] std::string of(const Address& address) const;
  /// "default/web": the Service that has this frontend; node ports count on every address of a node. Empty: not known.
  [[nodiscard]] std::string service(const Address& address, std::uint16_t port, std::uint8_t proto) const;
  /// The addresses of a pod, or the cluster addresses of a Service. ENOENT: neither is known. EINVAL: both are.
  [[nodiscard]] Result<std::vector<Address>> addresses(const PodName& name) const;

 private:
  explicit ClusterNames(PodNames pods) : pods_(std::move(pods)) {}
  void take(const kube::Object& object);

  PodNames pods_;
  std::map<Address, std::string> by_address_;
  std::map<std::string, std::vector<Address>> pods_elsewhere_, services_;  ///< by "namespace/name"
  std::map<std::tuple<Address, std::uint16_t, std::uint8_t>, std::string> frontends_;
  std::map<std::pair<std::uint16_t, std::uint8_t>, std::string> node_ports_;
};

}  // namespace sluice::loader::observe
