/// The keys of a network configuration that Sluice knows, typed and checked. README.md in this folder lists them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cni/request.hpp"
#include "loader/config.hpp"
#include "loader/host_port.hpp"
#include "loader/root.hpp"
#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::cni {

/// Limit of one direction, as the bandwidth capability has it.
struct Rate {
  std::uint64_t bits_per_second = 0;  ///< 0: no limit
  std::uint64_t burst_bits = 0;
};

/// The keys that every command needs: a DEL must not fail for a key that only ADD looks at.
struct Scope {
  loader::Root root;
  std::string ipam_type;  ///< the plugin that addresses are delegated to; empty: Sluice's own

  /// Errors: kBadConfig, which names the key.
  static Result<Scope> parse(const nlohmann::json& config);
};

struct Settings {
  int mtu = 0;                               ///< 0: the node's
  std::optional<loader::AttachMode> attach;  ///< nullopt: the node's
  bool through_stack = false;                ///< "delivery": "stack"
  std::vector<Prefix> pod_cidrs;             ///< empty: the node's
  nlohmann::json dns;                        ///< as it goes into the result; null: none
  nlohmann::json previous;                   ///< prevResult; null: Sluice is the first plugin

  std::vector<Address> ips;  ///< asked for by the runtime, at most one of each family

  // runtimeConfig
  std::optional<Mac> mac;
  Rate ingress;  ///< what the pod receives
  Rate egress;   ///< what the pod sends
  std::vector<loader::HostPort> host_ports;

  /// Errors: kBadConfig and kUnsupportedField, which name the key and its value; kBadEnvironment for CNI_ARGS.
  static Result<Settings> parse(const Request& request);
};

}  // namespace sluice::cni
