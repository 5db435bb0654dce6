#include "tests/policy/world.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>

namespace sluice::test {

using namespace loader::kube;

namespace {

constexpr int kPods = 9;
constexpr const char* kNamespaces[] = {"a", "b", "c"};
const std::vector<std::string> kOutside{"10.1.2.3", "10.1.9.9", "10.9.9.9", "192.0.2.1", "2001:db8::1", "fd00::99"};

Address address(const std::string& text) { return *Address::parse(text); }

std::vector<Address> pod_addresses(int i) {
  return {address("10." + std::to_string(i % 2) + ".2." + std::to_string(i + 1)),
          address("fd00::" + std::to_string(i + 1))};
}

std::vector<Address> node_addresses(int i) {
  return {address("172.18.0.1" + std::to_string(i)), address("fd00:172:18::1" + std::to_string(i))};
}

std::string node_name(int i) { return "node-" + std::to_string(i); }
ObjectId pod_id(int i) { return {"Pod", kNamespaces[i / 3], "pod-" + std::to_string(i)}; }

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

World::World(unsigned seed) : random_(seed) {
  for (const char* ns : kNamespaces) put_namespace(ns);
  for (int i = 1; i <= 2; i++) put_node(i);
  for (int i = 0; i < kPods; i++) put_pod(i);
  for (int i = 0; i < 2; i++) put_host_pod(i);
  for (int i = 0; i < 6; i++) change();
}

void World::change() {
  const int what = number(20);
  if (what < 11) return put_or_remove_policy();
  if (what < 14) return put_pod(number(kPods));
  if (what < 15) return put_host_pod(number(2));
  if (what < 16) return put_node(1 + number(2));
  if (what < 17) return remove(pod_id(number(kPods)));
  const std::string ns = some({"a", "b", "c"});
  if (what < 19) return put_namespace(ns);
  remove({"Namespace", "", ns});
}

void World::put_or_remove_policy() {
  const bool cluster = number(3) == 0;
  const ObjectId id = cluster ? ObjectId{"ClusterNetworkPolicy", "", "c" + std::to_string(number(4))}
                              : ObjectId{"NetworkPolicy", some({"a", "b", "c"}), "p" + std::to_string(number(4))};
  if (number(6) == 0) return remove(id);
  if (cluster)
    put(id, {}, cluster_policy());
  else
    put(id, {}, network_policy());
}

std::vector<loader::state::policy::LocalPod> World::local() const {
  std::vector<loader::state::policy::LocalPod> found;
  cluster_.each<Pod>([&](const Object& object, const Pod& pod) {
    if (pod.node_name == kNode && !pod.host_network && !pod.ended())
      found.push_back({object.id.ns, object.id.name, pod.ips});
  });
  return found;
}

End World::end_at(const Address& address) const {
  End end{nullptr, nullptr, address};
  cluster_.each<Pod>([&](const Object& object, const Pod& pod) {
    if (!pod.host_network && !pod.ended() && std::ranges::find(pod.ips, address) != pod.ips.end()) end.pod = &object;
  });
  cluster_.each<Node>([&](const Object& object, const Node& node) {
    if (std::ranges::find(node.internal_addresses, address) != node.internal_addresses.end()) end.node = &object;
  });
  return end;
}

End World::end() {
  const std::size_t family = number(4) != 0 ? 0 : 1;
  std::vector<Address> all;
  for (int i = 0; i < kPods; i++) all.push_back(pod_addresses(i)[family]);
  for (int i = 1; i <= 2; i++) all.push_back(node_addresses(i)[family]);
  for (const std::string& one : kOutside) all.push_back(address(one));
  return end_at(all[static_cast<std::size_t>(number(static_cast<int>(all.size())))]);
}

Protocol World::protocol() {
  return std::array{Protocol::kTcp, Protocol::kUdp, Protocol::kSctp}[static_cast<std::size_t>(number(3))];
}

std::uint16_t World::port() {
  return std::array<std::uint16_t, 6>{80, 81, 443, 1000, 8080, 65535}[static_cast<std::size_t>(number(6))];
}

void World::put(const ObjectId& id, const Labels& labels, const Body& body) {
  auto object = std::make_shared<Object>();
  object->id = id;
  object->labels = labels;
  object->body = body;
  (void)cluster_.take({{{id, std::move(object)}}, {}});
}

void World::remove(const ObjectId& id) { (void)cluster_.take({{{id, nullptr}}, {}}); }

void World::put_namespace(const std::string& name) {
  Labels labels{{"kubernetes.io/metadata.name", name}};
  if (number(4) != 0) labels["team"] = some({"x", "y"});
  put({"Namespace", "", name}, labels, Namespace{});
}

void World::put_node(int i) {
  Node node;
  node.internal_addresses = node_addresses(i);
  put({"Node", "", node_name(i)}, {{"role", some({"edge", "inner"})}}, node);
}

void World::put_pod(int i) {
  Pod pod;
  pod.node_name = node_name(i % 3 == 2 ? 2 : 1);
  pod.ips = pod_addresses(i);
  pod.phase = number(10) == 0 ? Pod::Phase::kSucceeded : Pod::Phase::kRunning;
  for (int count = number(3); count > 0; count--) pod.ports.push_back({"http", protocol(), port(), 0, {}});
  Labels labels{{"app", some({"web", "db"})}};
  if (number(4) != 0) labels["tier"] = some({"1", "2", "3"});
  put(pod_id(i), labels, pod);
}

/// It has the node's addresses and a pod's labels: selectors of pods must not find it.
void World::put_host_pod(int i) {
  Pod pod;
  pod.node_name = node_name(i + 1);
  pod.ips = node_addresses(i + 1);
  pod.phase = Pod::Phase::kRunning;
  pod.host_network = true;
  pod.ports.push_back({"http", protocol(), port(), 0, {}});
  put({"Pod", kNamespaces[i], "host-" + std::to_string(i)}, {{"app", some({"web", "db"})}, {"tier", "1"}}, pod);
}

LabelSelector World::selector(const std::string& key, const std::vector<std::string>& values) {
  using Operator = LabelRequirement::Operator;
  switch (number(6)) {
    case 0:
      return {};
    case 1:
      return {{{key, Operator::kIn, {some(values)}}}};
    case 2:
      return {{{key, Operator::kNotIn, {some(values)}}}};
    case 3:
      return {{{key, Operator::kExists, {}}}};
    case 4:
      return {{{key, Operator::kIn, values}, {key + "-other", Operator::kDoesNotExist, {}}}};
    default:
      return {{{key + (number(2) != 0 ? "" : "-other"), Operator::kDoesNotExist, {}}}};
  }
}

LabelSelector World::pods() { return number(2) != 0 ? selector("app", {"db", "web"}) : selector("tier", {"1", "2"}); }

LabelSelector World::namespaces() {
  return number(4) != 0 ? selector("team", {"x", "y"}) : selector("kubernetes.io/metadata.name", {"a", "b"});
}

Prefix World::block() {
  return *Prefix::parse(
      some({"10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.2/31", "10.1.2.3/32", "0.0.0.0/0", "::/0", "fd00::/64",
            "fd00::4/126", "172.18.0.0/24", "172.18.0.11/32", "fd00:172::/32", "192.0.2.0/24"}));
}

std::vector<PolicyPort> World::ports(bool cluster) {
  std::vector<PolicyPort> all;
  for (int count = number(3); count > 0; count--) {
    PolicyPort one;
    one.protocol = protocol();
    if (number(4) == 0) {
      one.name = "http";
      if (cluster) one.protocol.reset();
    } else if (number(3) != 0) {
      one.first = port();
      one.last = static_cast<std::uint16_t>(number(2) != 0 ? one.first : std::max<int>(one.first, port()));
    }
    all.push_back(one);
  }
  return all;
}

PolicyRule World::rule() {
  PolicyRule rule;
  for (int count = number(3); count > 0; count--) {
    if (number(2) != 0) {
      PodPeer peer;
      if (number(2) != 0) peer.namespaces = namespaces();
      peer.pods = pods();
      rule.peers.emplace_back(peer);
      continue;
    }
    IpBlock peer{block(), {}};
    for (int tries = number(3); tries > 0; tries--)
      if (const Prefix except = block(); except.length > peer.cidr.length && peer.cidr.contains(except.address))
        peer.except.push_back(except);
    rule.peers.emplace_back(peer);
  }
  rule.ports = ports(false);
  return rule;
}

NetworkPolicy World::network_policy() {
  NetworkPolicy policy;
  policy.pods = pods();
  policy.isolates_ingress = number(3) != 0;
  policy.isolates_egress = number(2) != 0;
  for (int count = policy.isolates_ingress ? number(3) : 0; count > 0; count--) policy.ingress.push_back(rule());
  for (int count = policy.isolates_egress ? number(3) : 0; count > 0; count--) policy.egress.push_back(rule());
  return policy;
}

ClusterRule World::cluster_rule(bool baseline) {
  using Action = ClusterRule::Action;
  ClusterRule rule;
  rule.action = std::array{Action::kAccept, Action::kDeny,
                           baseline ? Action::kDeny : Action::kPass}[static_cast<std::size_t>(number(3))];
  for (int count = number(2) + 1; count > 0; count--) {
    if (const int what = number(3); what == 0)
      rule.peers.emplace_back(ClusterPods{namespaces(), pods()});
    else if (what == 1)
      rule.peers.emplace_back(ClusterNetworks{{block(), block()}});
    else
      rule.peers.emplace_back(ClusterNodes{selector("role", {"edge", "inner"})});
  }
  rule.ports = ports(true);
  return rule;
}

ClusterPolicy World::cluster_policy() {
  ClusterPolicy policy;
  const bool baseline = number(3) == 0;
  policy.tier = baseline ? ClusterPolicy::Tier::kBaseline : ClusterPolicy::Tier::kAdmin;
  policy.priority = static_cast<std::uint16_t>(number(3));
  policy.subject = {namespaces(), pods()};
  for (int count = number(3); count > 0; count--) policy.ingress.push_back(cluster_rule(baseline));
  for (int count = number(3); count > 0; count--) policy.egress.push_back(cluster_rule(baseline));
  return policy;
}

namespace {

double setting(const char* name) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtod(text, nullptr) : 0;
}

}  // namespace

Worlds::Worlds(unsigned worlds)
    : first_(std::max(1U, static_cast<unsigned>(setting("SLUICE_FUZZ_SEED")))),
      wanted_(worlds),
      seconds_(setting("SLUICE_FUZZ_SECONDS")),
      end_(now() + seconds_) {}

bool Worlds::next() { return done_++ < wanted_ || (seconds_ > 0 && now() < end_); }

}  // namespace sluice::test
