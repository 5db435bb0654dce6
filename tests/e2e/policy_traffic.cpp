#include "tests/e2e/policy_traffic.hpp"

#include <doctest/doctest.h>

#include "loader/kube/manifest.hpp"
#include "tests/policy/oracle.hpp"

namespace sluice::e2e {

using namespace std::chrono_literals;
using loader::kube::Protocol;

namespace {

/// By then a packet that was sent has met its verdict, whatever else the machine does.
constexpr auto kJudged = 100ms;

std::string policy(const std::string& ns, const std::string& name, const std::string& spec) {
  return "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " + name + ", namespace: " + ns +
         "}\nspec: {" + spec + "}\n";
}

}  // namespace

std::string traffic_pod(const std::string& name, const std::string& node) {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name.substr(2) + ", namespace: " + name.substr(0, 1) +
         ", labels: {app: " + name.substr(2) + "}}\nspec: {nodeName: " + node +
         ", containers: [{name: c, ports: [{name: dns, containerPort: 53, protocol: "
         "UDP}]}]}\n";
}

loader::state::Cluster traffic_cluster(const std::string& objects, const PolicyLab& lab) {
  loader::state::Cluster cluster;
  loader::kube::Batch batch;
  for (auto& object : must(loader::kube::parse_manifest(objects, "objects"))) {
    if (auto* body = std::get_if<loader::kube::Pod>(&object.body)) {
      const Place& place = lab.place(object.id.ns + "/" + object.id.name);
      body->ips = {place.address(true), place.address(false)};
    }
    const auto id = object.id;
    batch.changes.push_back({id, std::make_shared<loader::kube::Object>(std::move(object))});
  }
  (void)cluster.take(batch);
  return cluster;
}

PolicyChanges::PolicyChanges(const PolicyLab& lab) {
  for (const std::string& client : kTrafficClients) addresses_.push_back(lab.place(client).address(true).text());
  addresses_.push_back(lab.place(kTrafficServer).address(true).text());
}

std::string PolicyChanges::next() {
  std::string yaml =
      "---\n{apiVersion: v1, kind: Namespace, metadata: {name: y, labels: {team: " + some({"red", "blue"}) + "}}}\n" +
      // Pods that come and go: nobody reaches them.
      policy("z", "nobody", "podSelector: {}");
  for (int count = number(3); count > 0; count--)
    yaml += policy("x", "in-" + std::to_string(count),
                   "podSelector: {matchLabels: {app: web}}, ingress: [" + rule("from") + ", " + rule("from") + "]");
  for (const std::string& client : kTrafficClients)
    if (number(3) == 0)
      yaml += policy(client.substr(0, 1), "out-" + client.substr(2),
                     "podSelector: {matchLabels: {app: " + client.substr(2) + "}}, policyTypes: [Egress], egress: [" +
                         rule("to") + "]");
  if (number(3) == 0)
    yaml +=
        "---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: "
        "first}\nspec: {tier: " +
        some({"Admin", "Baseline"}) +
        ", priority: 1, subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: x}}}, ingress: [{action: " +
        some({"Accept", "Deny"}) +
        ", from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: " + some({"one", "two", "three"}) +
        "}}}}]}]}\n";
  return yaml;
}

std::string PolicyChanges::rule(const std::string& direction) {
  const std::string peer =
      some({"{namespaceSelector: {}}", "{podSelector: {}}", "{namespaceSelector: {matchLabels: {team: red}}}",
            "{podSelector: {matchLabels: {app: " + some({"one", "two", "web"}) + "}}}",
            "{ipBlock: {cidr: " + some(addresses_) + "/32}}",
            "{ipBlock: {cidr: 10.244.0.0/16, except: [" + some(addresses_) + "/32]}}"});
  const std::string port = some({"port: 53", "port: 80", "port: 80, endPort: 81", "port: dns"});
  return "{" + direction + ": [" + peer + "], ports: [{protocol: UDP, " + port + "}]}";
}

void judge(PolicyState& state, const std::string& objects, const PolicyLab& lab) {
  const auto cluster = traffic_cluster(objects + state.yaml, lab);
  const auto end = [&](const std::string& name) {
    return test::End{cluster.find({"Pod", name.substr(0, 1), name.substr(2)}), nullptr, lab.place(name).address(true)};
  };
  for (std::size_t client = 0; client < kTrafficClients.size(); client++)
    for (std::size_t port = 0; port < std::size(kTrafficPorts); port++) {
      const auto allows = [&](bool ingress) {
        return test::oracle_side_allows(cluster, ingress, end(kTrafficClients[client]), end(kTrafficServer),
                                        Protocol::kUdp, kTrafficPorts[port]);
      };
      state.egress[client][port] = allows(false);
      state.ingress[client][port] = allows(true);
    }
}

PolicyTraffic::PolicyTraffic(const PolicyLab& lab) : lab_(lab), sent_(kMost) {
  for (const std::uint16_t port : kTrafficPorts) {
    servers_.push_back(must(Socket::udp(server().netns, server().address(true), port)));
    must(servers_.back().receive_buffer(8 << 20));
  }
  for (const std::string& client : kTrafficClients)
    for (std::size_t port = 0; port < std::size(kTrafficPorts); port++) running_.push_back(open(client));
  sending_ = std::thread([this] { send_all(); });
  receiving_ = std::thread([this] { receive_all(); });
}

void PolicyTraffic::stop() {
  if (!sending_.joinable()) return;
  stop_sending_ = true;
  sending_.join();
  std::this_thread::sleep_for(5 * kJudged);
  stop_receiving_ = true;
  receiving_.join();
}

Socket PolicyTraffic::open(const std::string& client) const {
  return must(Socket::udp(lab_.place(client).netns, lab_.place(client).address(true)));
}

void PolicyTraffic::send(const Socket& socket, std::size_t client, std::size_t port, bool first) {
  Sent& one = sent_[count_];
  one.client = client;
  one.port = port;
  one.first = first;
  one.before = Clock::now();
  must(socket.send_to(std::to_string(count_), server().address(true), kTrafficPorts[port]));
  one.after = Clock::now();
  count_++;
}

void PolicyTraffic::send_all() {
  for (std::size_t turn = 0; !stop_sending_ && count_ + running_.size() + 1 < kMost; turn++) {
    for (std::size_t i = 0; i < running_.size(); i++)
      send(running_[i], i / std::size(kTrafficPorts), i % std::size(kTrafficPorts), false);
    const std::size_t client = turn % kTrafficClients.size();
    send(open(kTrafficClients[client]), client, turn / kTrafficClients.size() % std::size(kTrafficPorts), true);
    std::this_thread::sleep_for(1ms);
  }
}

void PolicyTraffic::receive_all() {
  while (!stop_receiving_) {
    for (const Socket& socket : servers_)
      while (const auto datagram = socket.receive_now())
        sent_[std::stoul(datagram->data)].arrived = Clock::now().time_since_epoch().count();
    std::this_thread::sleep_for(200us);
  }
}

PolicyTraffic::Possible PolicyTraffic::possible(const std::list<PolicyState>& states, const Sent& sent,
                                                Clock::time_point last, bool one_node) {
  Possible found;
  bool out[2] = {}, in[2] = {};
  for (const PolicyState& state : states) {
    if (state.begun > last || state.over < sent.before) continue;
    const bool egress = state.egress[sent.client][sent.port], ingress = state.ingress[sent.client][sent.port];
    out[egress] = in[ingress] = true;
    (egress && ingress ? found.comes : found.is_lost) = true;
  }
  if (!one_node) found = {out[true] && in[true], out[false] || in[false]};
  return found;
}

void PolicyTraffic::check(const std::list<PolicyState>& states, const std::set<std::string>& far) const {
  std::size_t arrived = 0, certain = 0;
  std::string wrong;
  for (std::size_t i = 0; i < count_; i++) {
    const Sent& sent = sent_[i];
    const bool came = sent.arrived != 0;
    const auto last = came ? Clock::time_point(Clock::duration(sent.arrived)) : sent.after + kJudged;
    const auto may = possible(states, sent, last, !far.contains(kTrafficClients[sent.client]));
    arrived += came ? 1 : 0;
    certain += may.comes != may.is_lost ? 1 : 0;
    if (came ? may.comes : may.is_lost) continue;
    wrong += std::string(sent.first ? "the first" : "a later") + " packet of " + kTrafficClients[sent.client] +
             " to port " + std::to_string(kTrafficPorts[sent.port]) + (came ? " arrived" : " was lost") + "\n";
  }
  MESSAGE(count_, " packets, ", certain, " with one verdict possible, ", arrived, " arrived; ", states.size(),
          " sets of policies");
  CHECK_MESSAGE(wrong.empty(), wrong.substr(0, 2000));
  CHECK(certain > count_ / 4);
  CHECK(arrived > count_ / 10);
  CHECK(arrived < count_ - count_ / 10);
}

}  // namespace sluice::e2e
