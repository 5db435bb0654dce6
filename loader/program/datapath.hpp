/// The datapath of one node: programs and maps, pinned under the root, and what hangs them on interfaces.
///
/// Every process opens it for itself and needs no daemon. Changes of programs (load, upgrade, remove) take an exclusive
/// lock, attaching pods a shared one: an upgrade never misses an interface that is being attached meanwhile.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "loader/config.hpp"
#include "loader/root.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader::program {

/// What the endpoints map holds of a pod's address (struct endpoint in maps/endpoint.h).
struct Endpoint {
  int ifindex = 0;  ///< the host's end of the veth pair, whose MAC address is kHostMac
  Mac pod_mac;
  int mtu = 1500;
  bool through_stack =
      false;            ///< deliver through the host's stack, so that other tc and netfilter users see the packets
  bool shaped = false;  ///< a qdisc on the host's end limits what the pod receives: deliver through it
  /// The agent has not given it its policy yet: only its node reaches it (POLICY_INIT in maps/policy.h).
  bool awaits_policy = false;
};

/// How a pod's interface is attached now.
struct PodAttachment {
  bool from_pod = false;
  bool to_pod = false;
  AttachMode mode = AttachMode::kClsact;
};

class Datapath {
 public:
  /// The loaded datapath. ENOENT: none is loaded under this root.
  static Result<Datapath> open(const Root& root);
  /// Loads it where it is not loaded yet; waits for another process that is just doing so.
  static Result<Datapath> open_or_load(const Root& root, const NodeConfig& config);

  Datapath(Datapath&&) noexcept;
  Datapath& operator=(Datapath&&) noexcept;
  ~Datapath();

  /// Attaches from_pod and to_pod to the host's end of a pod's veth pair, in the calling thread's network namespace.
  /// Undoes itself on failure. Attaching what is attached is no error. EOPNOTSUPP: kTcx on a kernel without it.
  Result<void> attach_pod(int ifindex, const std::string& host_name, AttachMode mode);
  /// Takes the programs off again. Succeeds when they or the interface are gone already. An interface that is deleted
  /// takes its programs along, and only tcx's pinned links outlive it: `ifindex` 0 removes these alone.
  Result<void> detach_pod(int ifindex, const std::string& host_name);
  Result<PodAttachment> pod_attachment(int ifindex, const std::string& host_name);

  /// An agent looks after policy on this node, running now or not: a new pod is to await it.
  Result<bool> policy_is_managed();

  /// Makes `address` known as a pod of this node; from the next packet on it is delivered there. What the agent has
  /// given the same interface before (its policy, its identity) stays.
  Result<void> put_endpoint(const Address& address, const Endpoint& endpoint);
  /// Forgets `address` where it belongs to `ifindex` (0: whoever it belongs to). Succeeds when it is not there.
  Result<void> erase_endpoint(const Address& address, int ifindex);
  Result<std::optional<Endpoint>> endpoint(const Address& address);
  Result<std::vector<std::pair<Address, Endpoint>>> endpoints();

 private:
  struct Handles;
  explicit Datapath(std::unique_ptr<Handles> handles);

  std::unique_ptr<Handles> handles_;
};

}  // namespace sluice::loader::program
