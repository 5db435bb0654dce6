#include "tests/policy/truth.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace sluice::test {

namespace {

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> words;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, at);) {
    const auto first = word.find_first_not_of(' ');
    if (first != std::string::npos) words.push_back(word.substr(first, word.find_last_not_of(' ') - first + 1));
  }
  return words;
}

bool is_pod(const std::string& end) { return end.find('/') != std::string::npos; }

bool names(const std::string& pattern, const std::string& end) {
  if (pattern == "*") return end != kTruthNode;
  const auto slash = pattern.find('/');
  if (slash == std::string::npos || !is_pod(end)) return pattern == end;
  const auto ns = pattern.substr(0, slash), pod = pattern.substr(slash + 1);
  return (ns == "*" || ns == end.substr(0, end.find('/'))) && (pod == "*" || pod == end.substr(end.find('/') + 1));
}

bool any_names(const std::string& patterns, const std::string& end) {
  return std::ranges::any_of(split(patterns, ','), [&](const std::string& one) { return names(one, end); });
}

const char* protocol_name(std::uint8_t proto) {
  return proto == IPPROTO_TCP ? "tcp" : proto == IPPROTO_UDP ? "udp" : proto == IPPROTO_SCTP ? "sctp" : "icmp";
}

/// What stands behind ": ": words of one kind are alternatives.
bool is_about(const std::string& what, const TruthProbe& probe) {
  bool family_named = false, family = false, protocol_named = false, protocol = false;
  for (const std::string& word : split(what, ' ')) {
    if (word == "v4" || word == "v6") {
      family_named = true;
      family |= (word == "v4") == probe.v4;
      continue;
    }
    protocol_named = true;
    const std::string name = protocol_name(probe.proto);
    protocol |= word == name || word == name + "/" + std::to_string(probe.port);
  }
  return (family || !family_named) && (protocol || !protocol_named);
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

}  // namespace

std::string TruthProbe::text() const {
  return from + " to " + to + " " + protocol_name(proto) + "/" + std::to_string(port) + (v4 ? ", IPv4" : ", IPv6");
}

bool truth_allows(const std::vector<std::string>& says, const TruthProbe& probe) {
  if (probe.from == probe.to) return true;
  bool allowed = true;
  for (const std::string& line : says) {
    const auto arrow = line.find(" -> "), colon = line.find(": ");
    const bool allow = line.starts_with("allow ");
    if (arrow == std::string::npos || (!allow && !line.starts_with("deny ")))
      throw std::runtime_error("not a line of a truth table: " + line);
    const auto begin = line.find(' ') + 1;
    const auto to = line.substr(arrow + 4, colon == std::string::npos ? colon : colon - arrow - 4);
    const auto what = colon == std::string::npos ? std::string() : line.substr(colon + 2);
    if (any_names(line.substr(begin, arrow - begin), probe.from) && any_names(to, probe.to) && is_about(what, probe))
      allowed = allow;
  }
  return allowed;
}

std::string truth_cluster() {
  std::string yaml = R"(
---
{apiVersion: v1, kind: Namespace, metadata: {name: x, labels: {team: red}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: y, labels: {team: blue}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: z, labels: {team: red, stage: test}}}
---
apiVersion: v1
kind: Node
metadata: {name: node-1, labels: {role: here}}
spec: {podCIDRs: [10.244.1.0/24, "fd00:10:244:1::/64"]}
status: {addresses: [{type: InternalIP, address: 172.18.0.11}, {type: InternalIP, address: "fd00:172:18::11"}]}
)";
  for (const std::string pod : kTruthPods) {
    const std::string ns = pod.substr(0, 1), name = pod.substr(2);
    const char* port = name == "a"   ? "{name: web, containerPort: 80}"
                       : name == "b" ? "{name: web, containerPort: 81}"
                                     : "{name: web, containerPort: 80, protocol: UDP}";
    yaml += "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: " + ns +
            ", labels: {app: " + name + (name == "c" ? ", tier: back" : "") +
            "}}\nspec: {nodeName: node-1, containers: [{name: c, ports: [" + port + "]}]}\n";
  }
  yaml +=
      "---\napiVersion: v1\nkind: Pod\nmetadata: {name: host, namespace: x, labels: {app: a}}\nspec: {nodeName: "
      "node-1, hostNetwork: true, containers: [{name: c, ports: [{name: web, containerPort: 80}]}]}\n";
  return yaml;
}

std::string truth_objects(const std::string& objects, const TruthAddresses& addresses) {
  std::string text = objects;
  // Those with a longer name first: "@x/a6" begins with "@x/a".
  for (const auto& [end, both] : addresses) replace_all(text, "@" + end + "6", both[0].text());
  for (auto one = addresses.rbegin(); one != addresses.rend(); ++one)
    replace_all(text, "@" + one->first, one->second[1].text());
  return text;
}

}  // namespace sluice::test
