#include "loader/program/datapath.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "loader/program/hook.hpp"
#include "loader/program/lifecycle.hpp"
#include "loader/program/lock.hpp"
#include "loader/program/object.hpp"
#include "loader/program/pin.hpp"
#include "maps/views.hpp"

namespace sluice::loader::program {
namespace {

std::filesystem::path pin_of(const Root& root, const std::string& host_name, Hook hook) {
  return link_pin(root, host_name, hook == Hook::kIngress ? "in" : "eg");
}

const char* program_of(Hook hook) { return hook == Hook::kIngress ? kFromPod : kToPod; }

maps::endpoint to_layout(const Endpoint& endpoint) {
  maps::endpoint entry{};
  entry.ifindex = endpoint.ifindex;
  entry.mtu = static_cast<std::uint16_t>(endpoint.mtu);
  entry.flags = (endpoint.through_stack ? ENDPOINT_THROUGH_STACK : 0) | (endpoint.shaped ? ENDPOINT_SHAPED : 0);
  std::memcpy(entry.pod_mac, endpoint.pod_mac.bytes.data(), sizeof(entry.pod_mac));
  if (endpoint.awaits_policy)
    for (maps::pod_policy& policy : entry.policy) policy = {{maps::IDENTITY_INIT, 0}, POLICY_INIT, POLICY_INIT};
  return entry;
}

Endpoint from_layout(const maps::endpoint& entry, std::uint32_t generation) {
  const maps::pod_policy& policy = entry.policy[generation];
  Endpoint endpoint{.ifindex = static_cast<int>(entry.ifindex),
                    .mtu = entry.mtu,
                    .through_stack = (entry.flags & ENDPOINT_THROUGH_STACK) != 0,
                    .shaped = (entry.flags & ENDPOINT_SHAPED) != 0,
                    .awaits_policy = policy.ingress == POLICY_INIT || policy.egress == POLICY_INIT};
  std::memcpy(endpoint.pod_mac.bytes.data(), entry.pod_mac, sizeof(entry.pod_mac));
  return endpoint;
}

}  // namespace

struct Datapath::Handles {
  Root root;
  maps::Endpoints endpoints;
  maps::Mapped<maps::runtime> runtime;

  Result<void> attach(int ifindex, const std::string& host_name, Hook hook, AttachMode mode) const {
    const Fd program = TRY(open_pin(program_pin(root, program_of(hook))));
    if (mode == AttachMode::kTcx) return tcx::attach(ifindex, hook, program, pin_of(root, host_name, hook));
    return clsact::attach(ifindex, hook, program);
  }

  Result<void> detach(int ifindex, const std::string& host_name, Hook hook) const {
    TRY(tcx::detach(pin_of(root, host_name, hook)));
    if (ifindex == 0) return {};
    return clsact::detach(ifindex, hook);
  }
};

Datapath::Datapath(std::unique_ptr<Handles> handles) : handles_(std::move(handles)) {}
Datapath::Datapath(Datapath&&) noexcept = default;
Datapath& Datapath::operator=(Datapath&&) noexcept = default;
Datapath::~Datapath() = default;

Result<Datapath> Datapath::open(const Root& root) {
  quiet_libbpf();
  TRY(open_pin(program_pin(root, kToPod)));  // the last that a load pins
  maps::Endpoints endpoints = TRY(maps::open<maps::Endpoints>(root.maps()));
  auto runtime = TRY(maps::Mapped<maps::runtime>::open(TRY(maps::open<maps::Runtime>(root.maps())).fd()));
  return Datapath(std::make_unique<Handles>(Handles{root, std::move(endpoints), std::move(runtime)}));
}

Result<Datapath> Datapath::open_or_load(const Root& root, const NodeConfig& config) {
  auto loaded = open(root);
  if (!loaded.failed_with(ENOENT)) return loaded;
  TRY(load(root, config));
  return open(root);
}

Result<void> Datapath::attach_pod(int ifindex, const std::string& host_name, AttachMode mode) {
  const Lock lock = TRY(Lock::shared(handles_->root));
  for (const Hook hook : {Hook::kIngress, Hook::kEgress}) {
    auto attached = handles_->attach(ifindex, host_name, hook, mode);
    if (attached) continue;
    for (const Hook undone : {Hook::kIngress, Hook::kEgress}) (void)handles_->detach(ifindex, host_name, undone);
    return std::move(attached).context(std::string("attach ") + program_of(hook) + " to " + host_name);
  }
  return {};
}

Result<void> Datapath::detach_pod(int ifindex, const std::string& host_name) {
  const Lock lock = TRY(Lock::shared(handles_->root));
  for (const Hook hook : {Hook::kIngress, Hook::kEgress})
    TRY(handles_->detach(ifindex, host_name, hook).context("detach from " + host_name));
  return {};
}

Result<PodAttachment> Datapath::pod_attachment(int ifindex, const std::string& host_name) {
  const Root& root = handles_->root;
  if (TRY(tcx::attached(ifindex, pin_of(root, host_name, Hook::kIngress))))
    return PodAttachment{.from_pod = true,
                         .to_pod = TRY(tcx::attached(ifindex, pin_of(root, host_name, Hook::kEgress))).has_value(),
                         .mode = AttachMode::kTcx};
  return PodAttachment{.from_pod = TRY(clsact::attached(ifindex, Hook::kIngress)).has_value(),
                       .to_pod = TRY(clsact::attached(ifindex, Hook::kEgress)).has_value(),
                       .mode = AttachMode::kClsact};
}

Result<bool> Datapath::policy_is_managed() {
  const auto policies = TRY(maps::open<maps::Policies>(handles_->root.maps()));
  const auto init = TRY(policies.lookup(POLICY_INIT));
  return init && (init->flags & POLICY_IN_FORCE) != 0;
}

Result<void> Datapath::put_endpoint(const Address& address, const Endpoint& endpoint) {
  maps::endpoint wanted = to_layout(endpoint);
  const Lock lock = TRY(Lock::endpoints(handles_->root));
  const auto before = TRY(handles_->endpoints.lookup(address.wire()));
  if (before && before->ifindex == wanted.ifindex) std::ranges::copy(before->policy, wanted.policy);
  auto put = handles_->endpoints.put(address.wire(), wanted);
  if (put.failed_with(E2BIG))
    return refuse(E2BIG,
                  "no room for pod " + address.text() + ": the endpoints map is full (maps.endpoints in sluice.yaml)");
  TRY(std::move(put).context("make pod " + address.text() + " known"));
  maps::advance_epoch(*handles_->runtime);
  return {};
}

Result<void> Datapath::erase_endpoint(const Address& address, int ifindex) {
  const Lock lock = TRY(Lock::endpoints(handles_->root));
  const auto entry = TRY(handles_->endpoints.lookup(address.wire()));
  if (!entry || (ifindex != 0 && entry->ifindex != static_cast<std::uint32_t>(ifindex))) return {};
  TRY(handles_->endpoints.erase(address.wire()).context("forget pod " + address.text()));
  maps::advance_epoch(*handles_->runtime);
  return {};
}

Result<std::optional<Endpoint>> Datapath::endpoint(const Address& address) {
  const auto entry = TRY(handles_->endpoints.lookup(address.wire()));
  return entry ? std::optional<Endpoint>(from_layout(*entry, maps::generation(*handles_->runtime))) : std::nullopt;
}

Result<std::vector<std::pair<Address, Endpoint>>> Datapath::endpoints() {
  std::vector<std::pair<Address, Endpoint>> known;
  for (const auto& [address, entry] : TRY(handles_->endpoints.dump()))
    known.emplace_back(Address(address), from_layout(entry, maps::generation(*handles_->runtime)));
  return known;
}

}  // namespace sluice::loader::program
