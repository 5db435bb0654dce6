#include "loader/state/policy/words.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

namespace sluice::loader::state::policy {
namespace {

/// FNV-1a of 32 bits (RFC 9923), and never 0, which stands for no rule.
std::uint32_t number_of(std::string_view text) {
  std::uint32_t hash = 0x811c9dc5U;
  for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x01000193U;
  return hash != 0 ? hash : 1;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

/// "pods app=web", "every pod"
std::string selected(const char* what, const kube::LabelSelector& selector) {
  return selector.everything() ? std::string("every ") + what : std::string(what) + "s " + selector.text();
}

std::string text_of(const kube::PodPeer& peer) {
  return selected("pod", peer.pods) +
         (peer.namespaces ? " in " + selected("namespace", *peer.namespaces) : " in this namespace");
}

std::string text_of(const kube::IpBlock& block) {
  std::string text = block.cidr.text();
  for (const Prefix& except : block.except)
    text += (&except == &block.except.front() ? " except " : " and ") + except.text();
  return text;
}

std::string text_of(const kube::ClusterPods& peer) {
  return selected("pod", peer.pods) + " in " + selected("namespace", peer.namespaces);
}

std::string text_of(const kube::ClusterNodes& peer) { return selected("node", peer.nodes); }

std::string text_of(const kube::ClusterNetworks& peer) {
  std::vector<std::string> blocks;
  for (const Prefix& cidr : peer.cidrs) blocks.push_back(cidr.text());
  return joined(blocks);
}

template <typename Peer>
std::string peers_text(const std::vector<Peer>& peers, bool ingress) {
  std::vector<std::string> words;
  for (const Peer& peer : peers)
    words.push_back((ingress ? "from " : "to ") + std::visit([](const auto& one) { return text_of(one); }, peer));
  return joined(words);
}

/// Without the namespace where it makes no difference.
std::string content_of(const kube::PolicyPeer& peer, const std::string& ns) {
  const auto* pods = std::get_if<kube::PodPeer>(&peer);
  return std::visit([](const auto& one) { return text_of(one); }, peer) +
         (pods != nullptr && !pods->namespaces ? '/' + ns : "");
}

}  // namespace

std::uint32_t rule_number(const kube::PolicyRule& rule, const std::string& ns) {
  std::vector<std::string> words;
  for (const kube::PolicyPeer& peer : rule.peers) words.push_back(content_of(peer, ns));
  // A port's name is another number for each pod: it is a part of whom the rule is for.
  for (const kube::PolicyPort& port : rule.ports)
    if (!port.name.empty()) words.push_back(ports_text({port}));
  std::ranges::sort(words);
  return number_of((rule.peers.empty() ? "everyone\n" : "") + joined(words));
}

std::uint32_t rule_number(const kube::ObjectId& policy, bool ingress, std::size_t index) {
  return number_of(rule_name(policy.text(), ingress, index));
}

std::string rule_name(const std::string& policy, bool ingress, std::size_t index, const std::string& name) {
  return policy + (ingress ? ", ingress rule " : ", egress rule ") + std::to_string(index) +
         (name.empty() ? "" : " (" + name + ")");
}

std::string peers_text(const kube::PolicyRule& rule, bool ingress) {
  if (rule.peers.empty()) return ingress ? "from everyone" : "to everyone";
  return peers_text(rule.peers, ingress);
}

std::string peers_text(const kube::ClusterRule& rule, bool ingress) {
  if (rule.peers.empty()) return ingress ? "from nobody" : "to nobody";
  return peers_text(rule.peers, ingress);
}

std::string ports_text(const std::vector<kube::PolicyPort>& ports) {
  if (ports.empty()) return "every port";
  std::vector<std::string> words;
  for (const kube::PolicyPort& port : ports) {
    std::string text = port.protocol ? kube::text(*port.protocol) : port.name.empty() ? "TCP" : "";
    if (!port.name.empty())
      text += (text.empty() ? "" : " ") + port.name;
    else if (port.first != 0 || port.last != 65535)
      text += " " + std::to_string(port.first) + (port.last != port.first ? "-" + std::to_string(port.last) : "");
    words.push_back(std::move(text));
  }
  return joined(words);
}

}  // namespace sluice::loader::state::policy
