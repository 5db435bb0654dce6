#include "cni/addresses.hpp"

#include <algorithm>
#include <cerrno>

#include "cni/error.hpp"
#include "cni/json.hpp"

namespace sluice::cni {

namespace {

using loader::state::Ipam;
using loader::state::Owner;

/// The next free address of the first block of the family that has one.
Result<Address> reserve_any(Ipam& ipam, const std::vector<Prefix>& blocks, bool v4, const Owner& owner) {
  std::string full;
  for (const auto& block : blocks) {
    if (block.address.is_v4() != v4) continue;
    auto address = ipam.reserve(block, owner);
    if (!address.failed_with(EADDRNOTAVAIL)) return address;
    full += (full.empty() ? "" : "; ") + address.error().message;
  }
  return failure(Code::kNoAddress, full);
}

Result<Address> reserve_wanted(Ipam& ipam, const std::vector<Prefix>& blocks, const Address& wanted,
                               const Owner& owner) {
  for (const auto& block : blocks) {
    if (!block.contains(wanted)) continue;
    auto reserved = ipam.reserve(block, wanted, owner);
    if (reserved) return wanted;
    if (reserved.failed_with(EADDRINUSE) || reserved.failed_with(EINVAL)) {
      return failure(Code::kAddressTaken, reserved.error().message);
    }
    return reserved.error();
  }
  return failure(Code::kAddressTaken, wanted.text() + " is in none of the pod CIDRs");
}

}  // namespace

Result<Assignment> assign_own(Ipam& ipam, const std::vector<Prefix>& blocks, const std::vector<Address>& wanted,
                              const Owner& owner) {
  if (blocks.empty()) return bad_config("podCIDRs", "is neither in the network configuration nor in sluice.yaml");
  Assignment assignment;
  for (const auto& address : wanted) {
    assignment.addresses.push_back(TRY(reserve_wanted(ipam, blocks, address, owner)));
  }
  for (const bool v4 : {true, false}) {
    const auto of_family = [=](const Address& address) { return address.is_v4() == v4; };
    const bool has_block =
        std::any_of(blocks.begin(), blocks.end(), [&](auto& block) { return of_family(block.address); });
    if (!has_block || std::any_of(wanted.begin(), wanted.end(), of_family)) continue;
    assignment.addresses.push_back(TRY(reserve_any(ipam, blocks, v4, owner)));
  }
  std::stable_sort(assignment.addresses.begin(), assignment.addresses.end(),
                   [](const Address& a, const Address& b) { return a.is_v4() && !b.is_v4(); });
  return assignment;
}

Result<Assignment> assign_delegated(const Delegate& delegate) {
  const auto what = "the answer of IPAM plugin " + delegate.type;
  const auto answer = TRY(run(delegate, "ADD"));
  if (!answer.is_object()) return failure(Code::kDelegate, what + " is empty");
  auto parsed = OtherResult::parse(answer, what);
  if (!parsed) return failure(Code::kDelegate, parsed.error().message);
  if (parsed->ips.empty()) return failure(Code::kDelegate, what + " has no address");

  Assignment assignment;
  for (const auto& ip : parsed->ips) assignment.addresses.push_back(ip.address.address);
  assignment.routes = parsed->routes;
  assignment.dns = parsed->dns;
  return assignment;
}

}  // namespace sluice::cni
