#include "loader/kube/manifest.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/unit/kube_text.hpp"

using namespace sluice;
using namespace sluice::loader::kube;
using sluice::tests::must;
using sluice::tests::only;
using sluice::tests::with;

namespace {

constexpr const char* kNode = R"(
apiVersion: v1
kind: Node
metadata:
  name: n1
  labels: {kubernetes.io/hostname: n1}
spec:
  podCIDR: 10.244.1.0/24
  podCIDRs: [10.244.1.0/24, "fd00:10:244:1::/64"]
  taints: [{key: a, effect: NoSchedule}]
status:
  addresses:
  - {type: Hostname, address: n1}
  - {type: InternalIP, address: 192.168.50.11}
  - {type: InternalIP, address: fd00:50::11}
  - {type: ExternalIP, address: 203.0.113.7}
)";

constexpr const char* kPod = R"(
apiVersion: v1
kind: Pod
metadata:
  name: web-1
  namespace: shop
  labels: {app: web, version: "2"}
  annotations: {note: "10"}
spec:
  nodeName: n1
  containers:
  - {name: main, image: busybox, ports: [{containerPort: 80}]}
)";

/// The message that `text` is refused with.
std::string refusal(const std::string& text) {
  const auto parsed = parse_manifest(text, "file.yaml");
  if (parsed) return "taken";
  CHECK(parsed.error().code == EINVAL);
  return parsed.error().message;
}

}  // namespace

TEST_CASE("a Node has its pod CIDRs and internal addresses, other fields are ignored") {
  const auto object = only(kNode);
  CHECK(object.id.text() == "Node n1");
  CHECK(object.labels.at("kubernetes.io/hostname") == "n1");
  const auto& node = std::get<Node>(object.body);
  REQUIRE(node.pod_cidrs.size() == 2);
  CHECK(node.pod_cidrs[0].text() == "10.244.1.0/24");
  CHECK(node.pod_cidrs[1].text() == "fd00:10:244:1::/64");
  REQUIRE(node.internal_addresses.size() == 2);
  CHECK(node.internal_addresses[0].text() == "192.168.50.11");
  CHECK(node.internal_addresses[1].text() == "fd00:50::11");
}

TEST_CASE("a Node with podCIDR alone has that one") {
  const auto object = only(with(kNode, "podCIDRs: [10.244.1.0/24, \"fd00:10:244:1::/64\"]", "podCIDRs: []"));
  const auto& node = std::get<Node>(object.body);
  REQUIRE(node.pod_cidrs.size() == 1);
  CHECK(node.pod_cidrs[0].text() == "10.244.1.0/24");
}

TEST_CASE("a Pod has its node, labels and annotations, and is in the namespace default where it names none") {
  const auto object = only(kPod);
  CHECK(object.id.text() == "Pod shop/web-1");
  CHECK(std::get<Pod>(object.body).node_name == "n1");
  CHECK_FALSE(std::get<Pod>(object.body).host_network);
  CHECK(object.labels == std::map<std::string, std::string>{{"app", "web"}, {"version", "2"}});
  CHECK(object.annotations.at("note") == "10");
  CHECK(only(with(kPod, "  namespace: shop\n", "")).id.ns == "default");
  CHECK(std::get<Pod>(only(with(kPod, "nodeName: n1", "hostNetwork: true")).body).host_network);
  CHECK(std::get<Pod>(only(with(kPod, "nodeName: n1", "nodeName:")).body).node_name.empty());
}

TEST_CASE("JSON is a manifest too, and YAML gives the same object") {
  const auto json = R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-1","namespace":"shop",
    "labels":{"app":"web","version":"2"},"annotations":{"note":"10"}},
    "spec":{"nodeName":"n1","containers":[{"name":"main","image":"busybox","ports":[{"containerPort":80}]}]}})";
  CHECK(only(json).json == only(kPod).json);
}

TEST_CASE("a file has many documents, empty ones among them") {
  const std::string text = std::string("# all\n---") + kNode + "---\n# nothing here\n---" + kPod + "...\n---\n";
  const auto objects = must(parse_manifest(text, "file.yaml"));
  REQUIRE(objects.size() == 2);
  CHECK(objects[0].id.kind == "Node");
  CHECK(objects[1].id.kind == "Pod");
  CHECK(must(parse_manifest("", "file.yaml")).empty());
  CHECK(must(parse_manifest("# only words\n", "file.yaml")).empty());
}

TEST_CASE("the items of a List are objects of their own") {
  const auto objects = must(parse_manifest(R"({"apiVersion":"v1","kind":"List","items":[
    {"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}},
    {"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"}}]})",
                                           "file.json"));
  REQUIRE(objects.size() == 2);
  CHECK(objects[1].id.text() == "Pod default/b");
  CHECK(refusal(R"({"apiVersion":"v1","kind":"PodList","items":[{"apiVersion":"v1","kind":"Pod"}]})") ==
        "file.yaml: document 1: items[0]: Pod: metadata.name: is missing");
}

TEST_CASE("an object of another kind is kept whole, its strings as strings") {
  const auto object = only(R"(
apiVersion: example.com/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop, annotations: {on: "yes", port: '80', empty: ""}}
spec: {podSelector: {}, policyTypes: [Ingress], nothing: null, number: 5, fraction: 0.5, word: on, off: false}
)");
  CHECK(object.id.text() == "NetworkPolicy shop/deny");
  CHECK(std::holds_alternative<std::monostate>(object.body));
  CHECK(
      object.json ==
      R"({"apiVersion":"example.com/v1","kind":"NetworkPolicy","metadata":{"annotations":)"
      R"({"empty":"","on":"yes","port":"80"},"name":"deny","namespace":"shop"},"spec":{"fraction":0.5,"nothing":null,"number":5,)"
      R"("off":false,"podSelector":{},"policyTypes":["Ingress"],"word":"on"}})");
  CHECK(only("{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: 'system:node'}}")
            .id.ns.empty());
}

TEST_CASE("a Pod of another API group is not Kubernetes' own") {
  const auto object = only(with(kPod, "apiVersion: v1", "apiVersion: example.com/v1"));
  CHECK(std::holds_alternative<std::monostate>(object.body));
}

TEST_CASE("a wrong field is refused with the file, the document, the object and the field") {
  const struct {
    const char* text;
    const char* old_words;
    const char* new_words;
    const char* want;
  } rows[] = {
      {kPod, "apiVersion: v1\n", "", "apiVersion: is missing"},
      {kPod, "kind: Pod\n", "", "kind: is missing"},
      {kPod, "apiVersion: v1", "apiVersion: v2", "Pod shop/web-1: apiVersion: must be v1 for a Pod"},
      {kPod, "  name: web-1\n", "", "Pod: metadata.name: is missing"},
      {kPod, "name: web-1", "name: Web_1", "Pod: metadata.name: \"Web_1\" is not a name that a Pod can have"},
      {kPod, "name: web-1", "name: ../etc", "Pod: metadata.name: \"../etc\" is not a name that a Pod can have"},
      {kPod, "name: web-1", "name: 7", "Pod: metadata.name: must be a string, not 7"},
      {kPod, "namespace: shop", "namespace: a.b", "Pod: metadata.namespace: \"a.b\" is not the name of a namespace"},
      {kPod, "version: \"2\"", "version: 2", "Pod shop/web-1: metadata.labels.version: must be a string, not 2"},
      {kPod, "nodeName: n1", "nodeName: [n1]", "Pod shop/web-1: spec.nodeName: must be a string, not [\"n1\"]"},
      {kPod, "nodeName: n1", "nodeName: N/1", "Pod shop/web-1: spec.nodeName: is not the name of a node"},
      {kPod, "nodeName: n1", "hostNetwork: 1", "Pod shop/web-1: spec.hostNetwork: must be true or false, not 1"},
      {kNode, "metadata:\n  name: n1", "metadata:\n  name: n1\n  namespace: shop",
       "Node: metadata.namespace: a Node belongs to no namespace"},
      {kNode, "10.244.1.0/24, ", "10.244.1.0/33, ", "Node n1: spec.podCIDRs[0]: "},
      {kNode, "10.244.1.0/24, ", "10.244.1.1/24, ", "Node n1: spec.podCIDRs[0]: "},
      {kNode, "\"fd00:10:244:1::/64\"", "10.244.2.0/24", "Node n1: spec.podCIDRs[1]: there can be only one of"},
      {kNode, "[10.244.1.0/24, \"fd00:10:244:1::/64\"]", "10.244.1.0/24", "Node n1: spec.podCIDRs: must be a list"},
      {kNode, "address: fd00:50::11", "address: fd00:50::zz", "Node n1: status.addresses[2].address: "},
      {kNode, "{type: InternalIP, address: fd00:50::11}", "fd00:50::11", "Node n1: status.addresses[2]: must be a map"},
  };
  for (const auto& row : rows) {
    CAPTURE(std::string(row.want));
    const auto words = refusal(std::string("kind: A\napiVersion: v1\nmetadata: {name: first}\n---") +
                               with(row.text, row.old_words, row.new_words));
    CHECK_MESSAGE(words.starts_with(std::string("file.yaml: document 2: ") + row.want), words);
  }
}

TEST_CASE("what is not YAML is refused with the file, the document and the line") {
  const auto words = refusal(std::string("---") + kNode + "---\nkind: [Pod\n");
  CHECK_MESSAGE(words.starts_with("file.yaml: document 2: line "), words);
  CHECK(refusal("kind: Pod\nkind: Node\n") == "file.yaml: document 1: line 2: has kind twice");
  CHECK(refusal("just words") == "file.yaml: document 1: is not an object");
  CHECK(refusal("[a, b]") == "file.yaml: document 1: is not an object");
  CHECK(refusal("? [a]\n: b\n") == "file.yaml: document 1: line 1: has a key that is not a word");
}

TEST_CASE("aliases that unfold without end are refused") {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 8; ++i) {
    const auto last = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
    for (int k = 1; k < 10; ++k) text += ", " + last;
    text += "]\n";
  }
  CHECK(refusal(text).find("unfolds to too many values") != std::string::npos);
}

TEST_CASE("random bytes and cut files never do more than be refused") {
  std::string text = std::string(kNode) + "---" + kPod;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (auto parsed = parse_manifest(text.substr(0, i), "f"); !parsed) CHECK(parsed.error().code == EINVAL);
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ static_cast<char>(1 + i % 255));
    if (auto parsed = parse_manifest(changed, "f"); !parsed) CHECK(parsed.error().code == EINVAL);
  }
}

TEST_CASE("a file that cannot be read is an error with its name") {
  const auto missing = read_manifest("/no/such/file.yaml");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ENOENT);
  CHECK(missing.error().message.find("/no/such/file.yaml") != std::string::npos);
  CHECK(read_manifest("/").failed_with(EISDIR));

  const auto path = std::filesystem::temp_directory_path() / ("sluice-unit-" + std::to_string(getpid()) + ".yaml");
  std::ofstream(path) << kPod;
  CHECK(must(read_manifest(path)).size() == 1);
  std::filesystem::remove(path);
}
