/// A container runtime in small (CNI spec 1.1.0, section 3): containers on a node of the test's own, and plugins called
/// for them, the one that ships and Debian's.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "loader/net/netlink.hpp"
#include "loader/net/netns.hpp"
#include "loader/program/datapath.hpp"
#include "loader/root.hpp"
#include "maps/address.hpp"
#include "tests/e2e/process.hpp"
#include "tests/loader/node.hpp"

namespace sluice::test {

using nlohmann::json;

/// Puts an address of each family on the loopback of the thread's namespace: what pods know their node by.
void give_node_addresses();

/// A network namespace with nothing but a loopback in it, gone with the object.
class Container {
 public:
  Container();
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;
  ~Container();

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] std::string path() const { return "/run/" + id_; }
  [[nodiscard]] const loader::net::Netns& netns() const { return netns_; }
  [[nodiscard]] loader::net::Netlink netlink() const { return must(loader::net::Netlink::open_in(netns_)); }
  /// True when `other` answers a ping.
  [[nodiscard]] bool reaches(const Address& other) const;
  [[nodiscard]] e2e::Outcome exec(e2e::Command command) const;

 private:
  std::string id_;
  loader::net::Netns netns_;
};

/// The environment of one call. An empty value is not set.
struct Variables {
  std::string command;
  std::string container_id;
  std::string netns;
  std::string ifname;
  std::string args;
  std::string path;
};

struct Answer {
  int status = 0;  ///< as e2e::Outcome has it
  std::string output;
  json object;  ///< of the output; null: there is none

  /// The call has succeeded.
  [[nodiscard]] bool good() const { return status == 0; }
  /// The code of a well-formed error object of version `version` with exit status 1; 0: it is none.
  [[nodiscard]] int error(const std::string& version = "1.1.0") const;
  /// Of a result, in its order.
  [[nodiscard]] std::vector<Address> addresses() const;
};

/// Where a plugin is: beside this program, else where Debian has it.
std::string plugin_path(const std::string& type);

/// The command line that calls a plugin with exactly these variables.
e2e::Command command_line(const std::string& type, const Variables& variables);
Answer call(const std::string& type, const Variables& variables, const std::string& input);

/// A node for the plugin: its root, its network configuration, and what is on it.
class Host {
 public:
  /// `blocks`: podCIDRs of its sluice.yaml.
  explicit Host(const std::vector<std::string>& blocks = {"10.88.0.0/24", "fd00:88::/64"}, int endpoints = 512);

  [[nodiscard]] const loader::Root& root() const { return node_.root(); }
  /// The configuration of network "pods" in version 1.1.0, with the keys of `extra` added or, where null, removed.
  [[nodiscard]] json config(const json& extra = json::object()) const;

  [[nodiscard]] Answer call(const std::string& command, const Container& container, const json& config,
                            const std::string& ifname = "eth0", const std::string& args = {}) const;
  [[nodiscard]] Answer add(const Container& container) const { return call("ADD", container, config()); }
  [[nodiscard]] Answer del(const Container& container) const { return call("DEL", container, config()); }
  /// The configuration of a CHECK or DEL that follows on `answer`.
  [[nodiscard]] json after(const Answer& answer, const json& extra = json::object()) const;
  /// GC of network "pods" where these are all that is valid.
  [[nodiscard]] Answer collect(const std::vector<const Container*>& valid) const;

  /// All that attachments leave on a node, one a line: interfaces, reserved addresses, records, pins, endpoints, host
  /// ports.
  [[nodiscard]] std::string remains() const;
  [[nodiscard]] loader::program::Datapath datapath() const;
  [[nodiscard]] loader::net::Netlink netlink() const { return must(loader::net::Netlink::open()); }

 private:
  Node node_;
};

}  // namespace sluice::test
