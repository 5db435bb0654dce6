// sluice-cni in a list of plugins, before and after others (CNI spec 1.1.0, section 3, "Attachment Parameters").
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/cni/host.hpp"

using namespace sluice;        // NOLINT(google-build-using-namespace)
using namespace sluice::test;  // NOLINT(google-build-using-namespace)

namespace {

/// A list as a runtime runs it: ADD and CHECK from the first to the last, each ADD with the result of the one before,
/// DEL from the last to the first, all with the last result.
struct List {
  const Host& host;
  std::string version;
  std::vector<json> plugins;
  json result;

  Answer run(const std::string& command, const Container& pod) {
    auto order = plugins;
    if (command == "DEL") std::reverse(order.begin(), order.end());
    Answer answer;
    for (auto& config : order) {
      config["cniVersion"] = version;
      config["name"] = "pods";
      if (!result.is_null()) config["prevResult"] = result;
      answer = host.call(command, pod, config);
      if (!answer.good()) return answer;
      if (command == "ADD") result = answer.object;
    }
    return answer;
  }
};

json sluice_plugin(const Host& host, const json& extra = json::object()) { return host.config(extra); }

json ptp(const Host& host) {
  return {{"type", "ptp"},
          {"mtu", 1400},
          {"ipam",
           {{"type", "host-local"},
            {"dataDir", (host.root().prefix() / "host-local").string()},
            {"ranges", {{{{"subnet", "10.66.0.0/28"}}}, {{{"subnet", "fd00:66::/64"}}}}},
            {"routes", {{{"dst", "0.0.0.0/0"}}, {{"dst", "::/0"}}}}}}};
}

/// Two pods get their network from the list, talk, are checked, and leave nothing.
void check_whole_life(List list) {
  const Container pod;
  const Container peer;
  const auto added = list.run("ADD", pod);
  REQUIRE_MESSAGE(added.good(), added.output);
  CHECK(added.object.at("cniVersion") == list.version);
  List second = list;
  second.result = nullptr;
  REQUIRE(second.run("ADD", peer).good());
  for (const auto& address : added.addresses()) {
    CAPTURE(address.text());
    CHECK(peer.reaches(address));
    CHECK(e2e::run({"ping", "-c1", "-W2", address.text()}).status == 0);
  }
  // portmap 1.1.1 looks for a pod's IPv4 rules in ip6tables as well: its own CHECK fails behind any plugin.
  if (list.version != "0.3.1" && list.plugins.back()["type"] != "portmap") {
    const auto checked = list.run("CHECK", pod);
    CHECK_MESSAGE(checked.good(), checked.output);
  }
  for (int i = 0; i < 2; i++) {
    const auto deleted = list.run("DEL", pod);
    CHECK_MESSAGE(deleted.good(), deleted.output);
  }
  CHECK(second.run("DEL", peer).good());
  CHECK(list.host.remains() == "");
}

}  // namespace

TEST_CASE("portmap, tuning and bandwidth work behind sluice-cni") {
  const json ports{{"portMappings", {{{"hostPort", 8080}, {"containerPort", 80}, {"protocol", "tcp"}}}}};
  const json rates{{"bandwidth", {{"ingressRate", 8000000}, {"ingressBurst", 800000}}}};
  for (const std::string version : {"0.3.1", "0.4.0", "1.0.0"}) {
    CAPTURE(version);
    const Host host;
    check_whole_life({host, version, {sluice_plugin(host), {{"type", "portmap"}, {"runtimeConfig", ports}}}, nullptr});
    check_whole_life(
        {host,
         version,
         {sluice_plugin(host), {{"type", "tuning"}, {"sysctl", {{"net.ipv4.conf.eth0.accept_local", "1"}}}}},
         nullptr});
    check_whole_life({host,
                      version,
                      {sluice_plugin(host, {{"delivery", "stack"}}), {{"type", "bandwidth"}, {"runtimeConfig", rates}}},
                      nullptr});
  }
}

TEST_CASE("portmap's rules lead to the pod that sluice-cni attached") {
  const Host host;
  const Container pod;
  const json ports{{"portMappings", {{{"hostPort", 8081}, {"containerPort", 80}, {"protocol", "tcp"}}}}};
  List list{host, "1.0.0", {sluice_plugin(host), {{"type", "portmap"}, {"runtimeConfig", ports}}}, nullptr};
  const auto added = list.run("ADD", pod);
  REQUIRE_MESSAGE(added.good(), added.output);
  const auto rules = e2e::run({"iptables", "-t", "nat", "-S"}).output;
  CHECK(rules.find("--to-destination " + added.addresses().front().text() + ":80") != std::string::npos);
  CHECK(list.run("DEL", pod).good());
  CHECK(e2e::run({"iptables", "-t", "nat", "-S"}).output.find("--to-destination") == std::string::npos);
}

TEST_CASE("sluice-cni behind ptp carries the packets of ptp's interface") {
  const Host host;
  const json tuning{{"type", "tuning"}, {"sysctl", {{"net.ipv4.conf.eth0.accept_local", "1"}}}};
  check_whole_life({host, "1.0.0", {ptp(host), sluice_plugin(host)}, nullptr});
  check_whole_life({host, "0.4.0", {ptp(host), tuning, sluice_plugin(host)}, nullptr});
}

TEST_CASE("what an earlier plugin gave is handed on as it was") {
  const Host host;
  const Container pod;
  const json given{{"cniVersion", "1.0.0"},
                   {"interfaces", {{{"name", "other0"}, {"mac", "02:00:00:00:00:01"}}}},
                   {"ips", {{{"address", "10.1.2.3/24"}, {"gateway", "10.1.2.1"}, {"interface", 0}}}},
                   {"routes", {{{"dst", "10.0.0.0/8"}, {"gw", "10.1.2.1"}}}},
                   {"dns", {{"nameservers", {"10.1.2.1"}}}},
                   {"vendor.example/extra", {{"kept", true}}}};
  const auto added = host.call("ADD", pod, host.config({{"cniVersion", "1.0.0"}, {"prevResult", given}}));
  REQUIRE_MESSAGE(added.good(), added.output);
  const auto& result = added.object;
  CHECK(result["interfaces"][0] == given["interfaces"][0]);
  CHECK(result["ips"][0] == given["ips"][0]);
  CHECK(result["routes"][0] == given["routes"][0]);
  CHECK(result["dns"] == given["dns"]);
  CHECK(result["vendor.example/extra"] == given["vendor.example/extra"]);
  // Sluice's own come behind, and point at Sluice's own interface.
  CHECK(result["interfaces"].size() == 3);
  REQUIRE(result["ips"].size() == 3);
  CHECK(result["ips"][1]["interface"] == 2);
  CHECK(host.call("CHECK", pod, host.config({{"cniVersion", "1.0.0"}, {"prevResult", result}})).output == "");
  CHECK(host.del(pod).good());
}

TEST_CASE("an interface that Sluice cannot serve is refused, and left as it was") {
  const Host host;
  const Container pod;
  const json bridge{{"type", "bridge"}, {"bridge", "stock0"}, {"ipam", ptp(host)["ipam"]}};
  List list{host, "1.0.0", {bridge}, nullptr};
  REQUIRE(list.run("ADD", pod).good());
  const auto before = host.remains();
  const auto behind = [&](const json& result) {
    return host.call("ADD", pod, host.config({{"cniVersion", "1.0.0"}, {"prevResult", result}}));
  };
  CHECK(behind(list.result).error("1.0.0") == 106);
  json nameless = list.result;
  nameless["interfaces"] = {{{"name", "eth0"}, {"sandbox", pod.path()}}};
  nameless["ips"] = json::array();
  CHECK(behind(nameless).error("1.0.0") == 106);
  CHECK(host.remains() == before);
  CHECK(list.run("DEL", pod).good());
  must(host.netlink().delete_link("stock0"));

  List routed{host, "1.0.0", {ptp(host)}, nullptr};
  REQUIRE(routed.run("ADD", pod).good());
  const auto with_ptp = host.remains();
  nameless = routed.result;
  nameless["ips"] = json::array();
  CHECK(behind(nameless).error("1.0.0") == 106);  // no address
  CHECK(host.remains() == with_ptp);
  CHECK(routed.run("DEL", pod).good());
  CHECK(host.remains() == "");
}
