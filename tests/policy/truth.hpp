/// Truth tables of policy: a small cluster, and for each set of policies who reaches whom on which ports, in words. The
/// same tables are tried with packets (tests/policy) and with sockets (tests/e2e).
///
/// The cluster: namespaces x (team: red), y (team: blue) and z (team: red, stage: test), each with pods a, b and c on
/// node-1, whose label app is their name; every c also has tier: back. The port "web" of an a is 80/TCP, of a b 81/TCP,
/// of a c 80/UDP. Around them the node itself, its host-network pod x/host with the labels of a, pod y/far (app: far)
/// on node-2, node-2 itself and an address outside of the cluster.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "maps/address.hpp"

namespace sluice::test {

/// Names of the ends. A pod's is NAMESPACE/NAME.
inline constexpr std::array kTruthPods{"x/a", "x/b", "x/c", "y/a", "y/b", "y/c", "z/a", "z/b", "z/c"};
inline constexpr const char* kTruthNode = "node";    ///< the pods' own
inline constexpr const char* kTruthFar = "y/far";    ///< a pod of another node
inline constexpr const char* kTruthOther = "other";  ///< that other node
inline constexpr const char* kTruthWorld = "world";

inline constexpr std::array<std::uint16_t, 3> kTruthPorts{53, 80, 81};

/// Addresses by end; the second index is "is IPv4". "pods" is the first of all pods' of the cluster, which are within
/// 16 bits of IPv4 and 48 of IPv6.
using TruthAddresses = std::map<std::string, std::array<Address, 2>>;

struct Truth {
  const char* name;
  /// The policies, in YAML. "@x/a" stands for the IPv4 address of that end, "@x/a6" for its IPv6 one.
  std::string objects;
  /// What they make of a cluster in which all reach all: "allow FROM -> TO" or "deny FROM -> TO", the last word on a
  /// connection counts. FROM and TO are ends with commas between; "*" is all but the node, "*/a" and "x/*" are pods.
  /// Behind ": " may stand what it is about, else it is all: v4, v6, icmp, tcp, udp/53.
  std::vector<std::string> says;
};

const std::vector<Truth>& truths();

/// A connection that is tried. `proto` is IPPROTO_*; ICMP and ICMPv6 have port 0.
struct TruthProbe {
  std::string from, to;
  bool v4;
  std::uint8_t proto;
  std::uint16_t port;

  [[nodiscard]] std::string text() const;  ///< "x/a to y/b udp/53, IPv6"
};

/// What a table says. A pod always reaches itself, and the node its pods, unless the table says otherwise.
bool truth_allows(const std::vector<std::string>& says, const TruthProbe& probe);

/// Namespaces, nodes and the pods, those of node-1 without addresses.
std::string truth_cluster();
/// With the "@" words replaced.
std::string truth_objects(const std::string& objects, const TruthAddresses& addresses);

}  // namespace sluice::test
