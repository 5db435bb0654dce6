/// Results (CNI spec 1.1.0, section 5, "Success"): what earlier plugins and IPAM plugins give, and what Sluice answers,
/// in each configuration version's own format.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "maps/address.hpp"
#include "maps/result.hpp"

namespace sluice::cni {

struct ResultRoute {
  Prefix destination;
  std::optional<Address> gateway;
};

/// The parts of another plugin's result that Sluice acts on.
struct OtherResult {
  struct Interface {
    std::string name;
    std::string mac;
    std::string sandbox;  ///< empty: of the host
  };
  struct Ip {
    Prefix address;
    std::optional<Address> gateway;
    std::optional<std::size_t> interface;  ///< an index into `interfaces`; 0 is the first of them
  };
  std::vector<Interface> interfaces;
  std::vector<Ip> ips;
  std::vector<ResultRoute> routes;
  nlohmann::json dns;  ///< null: none

  /// `what` ("prevResult", "the answer of host-local") starts each message. Error: kBadConfig.
  static Result<OtherResult> parse(const nlohmann::json& result, const std::string& what);

  /// The index of the interface `name` inside a container.
  [[nodiscard]] std::optional<std::size_t> find_in_sandbox(const std::string& name) const;
};

/// A result in the making: what an earlier plugin gave, unchanged, and what Sluice adds behind it.
class Answer {
 public:
  /// `previous`: the prevResult, null for none.
  explicit Answer(const nlohmann::json& previous);

  /// The new interface's index. `sandbox`: empty for one of the host.
  std::size_t add_interface(const std::string& name, const Mac& mac, int mtu, const std::string& sandbox);
  void add_ip(const Prefix& address, const std::optional<Address>& gateway, std::size_t interface);
  void add_route(const ResultRoute& route);
  /// Only where there is none yet.
  void set_dns(const nlohmann::json& dns);

  /// As the configuration version `version` has it: with "version" in each address below 1.0.0, without the keys
  /// that came with 1.1.0 below that.
  [[nodiscard]] nlohmann::json in_version(const std::string& version) const;

 private:
  nlohmann::json result_;
};

}  // namespace sluice::cni
