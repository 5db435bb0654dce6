/// Sluice's own address management: which addresses of the node's pod CIDRs are given to whom.
///
/// A reservation is a symbolic link <state>/ipam/<address> -> "network/container id/interface". To make one is one
/// system call that fails when the name is there, so processes need no lock among each other, one that is killed leaves
/// either a whole reservation with its owner's name or none, and nothing has to be parsed. There is one folder for all
/// networks: the datapath knows an address once a node.
///
/// Never given away: a block's first address (IPv4: the network; IPv6: the routers' anycast address, RFC 4291 2.6.1),
/// the one after it, kept for the node, and IPv4's broadcast address. Blocks of one or two addresses are given away
/// whole (RFC 3021, RFC 6164).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "loader/root.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::loader::state {

/// Whom an address belongs to: an interface of a container in a network.
struct Owner {
  std::string network;
  std::string container_id;
  std::string ifname;
  bool operator==(const Owner&) const = default;
};

struct Reservation {
  Address address;
  Owner owner;
};

class Ipam {
 public:
  explicit Ipam(const Root& root);

  /// Reserves the next free address of `block`, round robin, so that one given back is used again as late as can be.
  /// EADDRNOTAVAIL: none is free; the message counts them.
  Result<Address> reserve(const Prefix& block, const Owner& owner);
  /// Reserves this address of `block`. EADDRINUSE: it has an owner, whom the message names. EINVAL: it is not one that
  /// pods are given.
  Result<void> reserve(const Prefix& block, const Address& address, const Owner& owner);
  /// Returns when all reservations made so far survive a loss of power.
  Result<void> sync();

  /// True where `address` belongs to `owner`.
  [[nodiscard]] bool holds(const Address& address, const Owner& owner) const;
  /// Gives `address` back where it belongs to `owner`; succeeds when it does not.
  Result<void> release(const Address& address, const Owner& owner);
  /// Gives back all that the interface has, whatever the network. Reads every reservation.
  Result<void> release_all(const std::string& container_id, const std::string& ifname);
  /// In no order. Something else that lies in the folder is left out.
  Result<std::vector<Reservation>> reservations() const;

  /// How many addresses of `block` pods can be given, at most 2^63.
  static std::uint64_t capacity(const Prefix& block);
  static bool can_give(const Prefix& block, const Address& address);

 private:
  Result<bool> claim(const Address& address, const Owner& owner);
  [[nodiscard]] std::filesystem::path cursor_file(const Prefix& block) const;

  std::filesystem::path folder_;
  std::filesystem::path cursors_;  // in the run folder: to lose them at a reboot does no harm
};

}  // namespace sluice::loader::state
