// The policy compiler: for whatever objects there are, the compiled tables say of every pair of addresses what the
// oracle says, and the same again when they are compiled again.
#include <algorithm>
#include <set>

#include "loader/kube/manifest.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/policy/maps.hpp"
#include "tests/policy/oracle.hpp"

using namespace sluice;
using namespace sluice::loader::kube;
using namespace sluice::loader::state::policy;
using fuzz::must;
using test::End;

namespace {

constexpr const char* kNode = "node-1";
constexpr std::size_t kMostObjects = 64, kMostAddresses = 16, kMostPorts = 16;

/// False: there is an end with this address already.
bool add(std::map<Address, End>& ends, const std::vector<Address>& addresses, const Object* pod, const Object* node) {
  return std::ranges::all_of(addresses, [&](const Address& address) {
    return ends.try_emplace(address, End{pod, node, address}).second;
  });
}

void add_blocks(std::map<Address, End>& all, const std::vector<PolicyRule>& rules) {
  for (const auto& rule : rules)
    for (const auto& peer : rule.peers)
      if (const auto* block = std::get_if<IpBlock>(&peer)) {
        for (const Address& address : {block->cidr.first(), block->cidr.last()})
          all.try_emplace(address, End{nullptr, nullptr, address});
        for (const Prefix& except : block->except)
          all.try_emplace(except.first(), End{nullptr, nullptr, except.first()});
      }
}

void add_ports(std::set<std::uint16_t>& ports, const std::vector<PolicyRule>& rules) {
  for (const auto& rule : rules)
    for (const PolicyPort& port : rule.ports)
      for (const std::uint16_t one : {port.first, port.last, static_cast<std::uint16_t>(port.last + 1)})
        ports.insert(one);
}

void check(const loader::state::Cluster& cluster, const std::vector<LocalPod>& local,
           const std::map<Address, End>& ends, const std::set<std::uint16_t>& ports) {
  Compiler compiler{{}};
  const test::PolicyMaps maps(compiler.run(cluster, kNode, local, true, {}));
  const std::vector<ObjectId> nothing;
  must(test::PolicyMaps(compiler.run(cluster, kNode, local, true, {}, &nothing)).content() == maps.content(),
       "what has not changed is the same again");
  must(test::PolicyMaps(compile(cluster, kNode, local, compiler.numbers())).content() == maps.content(),
       "the same objects are the same tables");
  for (const auto& [from, client] : ends) {
    for (const auto& [to, server] : ends) {
      if (from.is_v4() != to.is_v4()) continue;
      for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp, Protocol::kSctp})
        for (const std::uint16_t port : ports)
          must(maps.allow(from, to, protocol, port) ==
                   test::oracle_allows(cluster, kNode, client, server, protocol, port),
               from.text() + " to " + to.text() + " " + text(protocol) + " " + std::to_string(port));
    }
  }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto manifest = parse_documents(fuzz::text_of(data, size), Keep::kUsed);
  if (manifest.objects.size() > kMostObjects) return 0;
  loader::state::Cluster cluster;
  Batch batch;
  for (const Object& object : manifest.objects) batch.changes.push_back({object.id, std::make_shared<Object>(object)});
  (void)cluster.take(batch);
  std::map<Address, End> ends;
  std::set<std::uint16_t> ports{1, 80};
  std::vector<LocalPod> local;
  bool each_its_own = true;
  cluster.each<Pod>([&](const Object& object, const Pod& pod) {
    if (pod.host_network || pod.ended()) return;
    each_its_own &= add(ends, pod.ips, &object, nullptr);
    if (pod.node_name == kNode) local.push_back({object.id.ns, object.id.name, pod.ips});
    for (const ContainerPort& port : pod.ports) ports.insert(port.port);
  });
  cluster.each<Node>([&](const Object& object, const Node& node) {
    each_its_own &= add(ends, node.internal_addresses, nullptr, &object);
    each_its_own &= add(ends, node.external_addresses, nullptr, &object);
  });
  cluster.each<NetworkPolicy>([&](const Object&, const NetworkPolicy& policy) {
    for (const auto* rules : {&policy.ingress, &policy.egress}) {
      add_blocks(ends, *rules);
      add_ports(ports, *rules);
    }
  });
  // An address of two is in no cluster that means something.
  if (!each_its_own || local.empty() || ends.size() > kMostAddresses || ports.size() > kMostPorts) return 0;
  check(cluster, local, ends, ports);
  return 0;
}
